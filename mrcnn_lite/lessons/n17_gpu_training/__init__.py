"""Lesson 17. GPU training: where does the time of a training step go?"""
