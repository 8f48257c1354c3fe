"""Lesson 07b. Positives and losses: which object does a proposal learn from, and how much?"""
