"""Lesson 15. Keypoints: what changes if the answer is a point, not a region?"""
