"""Lesson 03. RoIAlign by hand: where does −0.8546 come from?"""
