"""Lesson 01. RoIPool: how many image pixels does it really look at?"""
