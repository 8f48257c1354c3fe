"""Lesson 02. Where are the pixels: is pixel 0 at 0 or at 0.5?"""
