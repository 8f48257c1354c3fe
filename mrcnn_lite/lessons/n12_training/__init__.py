"""Lesson 12. Train it: what should each loss be before step 1?"""
