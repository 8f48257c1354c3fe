"""Lesson 13. Average precision: can one of two equals be twice as good?"""
