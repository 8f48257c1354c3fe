"""Lesson 11. The whole network: is it the same function as torchvision's?"""
