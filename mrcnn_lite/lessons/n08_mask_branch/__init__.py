"""Lesson 08. The mask branch: why convolutions?"""
