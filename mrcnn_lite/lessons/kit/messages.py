"""How the exercises speak: plain text, wrapped to the page."""

import textwrap

WIDTH = 79  # columns of the page


def wrapped(message: str) -> str:
    """The message with every long line broken."""
    lines = [textwrap.fill(line, WIDTH, subsequent_indent="    ") for line in message.splitlines()]
    return "\n".join(lines)


def say(message: str) -> None:
    """Print a message, wrapped."""
    print(wrapped(message))
