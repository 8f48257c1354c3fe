"""The command line: `python -m mrcnn_lite train | evaluate | predict | verify | export`."""

from .commands import main

__all__ = ["main"]
