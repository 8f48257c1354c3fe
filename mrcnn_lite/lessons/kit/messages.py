"""How the exercises speak: plain text, wrapped to the page."""

import textwrap

WIDTH = 79  # columns of the page


def wrapped(words: str) -> str:
    """The words with every long line broken."""
    lines = [textwrap.fill(line, WIDTH, subsequent_indent="    ") for line in words.splitlines()]
    return "\n".join(lines)


def say(words: str) -> None:
    """Print the words, wrapped."""
    print(wrapped(words))
