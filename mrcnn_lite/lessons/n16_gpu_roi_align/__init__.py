"""Lesson 16. RoIAlign on a GPU: one output number, how many memory reads?"""
