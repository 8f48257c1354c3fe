"""The course's own code: `kit` for all lessons, and a folder for each, with what it has of these:

    pictures.py    the lesson's figures
    explorer.py    what its reader moves
    exercises.py   what its reader writes, and the mistakes that are known by name

What else stands in a lesson's folder is that lesson's alone. Nothing outside of `lessons` imports
it.
"""
