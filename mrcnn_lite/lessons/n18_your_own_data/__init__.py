"""Lesson 18. Your own data: your loss is NaN, where do you look first?"""
