"""Lesson 09. The mask loss: can it reach zero?"""
