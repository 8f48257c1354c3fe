"""Lesson 06. Feature pyramids: at which stride is the box pooled?"""
