"""Lesson 07. Anchors to positives: which object does a proposal's mask come from?"""
