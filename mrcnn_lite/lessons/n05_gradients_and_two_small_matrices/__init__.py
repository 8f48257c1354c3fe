"""Lesson 05. Gradients and two small matrices: which cells learn?"""
