"""Lesson 20. Using what it found: how many, how large, and how sure?"""
