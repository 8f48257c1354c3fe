"""Lesson 07. Anchors to proposals: where do the boxes of the second stage come from?"""
