"""Lesson 00. Start here: what must change to draw an outline?"""
