"""Explorers: a plain state that renders a picture and its numbers, and a thin ipywidgets layer."""
