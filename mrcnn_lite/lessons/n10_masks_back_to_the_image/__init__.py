"""Lesson 10. Masks back to the image: what survives?"""
