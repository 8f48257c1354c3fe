"""Lesson 04. The operator zoo: five libraries, one paper, same numbers?"""
