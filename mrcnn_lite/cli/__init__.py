"""The command line: `python -m mrcnn_lite train | evaluate | predict | verify`."""

from .commands import main

__all__ = ["main"]
