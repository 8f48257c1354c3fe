"""Lesson 19. Reading the sources: which sentences would you now rewrite?"""
