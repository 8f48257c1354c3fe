"""One command from its words to its exit status."""

import argparse
import errno
import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.multiprocessing import ProcessRaisedException

from ..training.distributed import DeadProcess, launch
from .evaluate import evaluate_data
from .export import export_network
from .options import read_options
from .predict import predict_images
from .train import train_network
from .verify import verify_data

RUN = {
    "train": train_network,
    "evaluate": evaluate_data,
    "predict": predict_images,
    "verify": verify_data,
    "export": export_network,
}
# What a user can put right: these end in one sentence, everything else in a traceback.
MISTAKES = (
    ValueError,
    FloatingPointError,
    OSError,  # no such file, no permission, a full disk
    DeadProcess,
)
NO_READER = (errno.EPIPE, errno.EINVAL)  # the second on Windows


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a user's mistake ends in one sentence on stderr and exit status 2."""
    with console():
        try:
            options = read_options(arguments)
        except SystemExit as ended:  # of --help, or of a mistake that was told
            return int(ended.code or 0)
        # Several processes print on consoles of their own.
        run = RUN[options.command] if options.workers == 1 else _run
        try:
            status = launch(run, options.workers, options) or 0
            sys.stdout.flush()
            return status
        except ProcessRaisedException as error:
            # The traceback of a training process, as text. The error is what follows the calls,
            # whose lines are indented; it may have several lines.
            last = str(error).rpartition("Traceback ")[2]
            found = re.search(r"^[\w.]*?(\w+): (.*)", last, re.MULTILINE | re.DOTALL)
            kinds = {mistake.__name__ for mistake in (*MISTAKES, *OSError.__subclasses__())}
            if not found or found[1] not in kinds:
                raise
            print(f"mrcnn_lite {options.command}: {found[2].strip()}", file=sys.stderr)
            return 2
        except MISTAKES as error:
            below_its_bar = "\n" if isinstance(error, DeadProcess) else ""
            print(f"{below_its_bar}mrcnn_lite {options.command}: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            more = "; go on with --resume" if options.command == "train" else ""
            print(f"\nmrcnn_lite {options.command}: stopped{more}", file=sys.stderr)
            return 130


def _run(options: argparse.Namespace) -> int | None:
    with console():
        return RUN[options.command](options)


@contextmanager
def console() -> Iterator[None]:
    """Inside the ``with`` a letter that the console's encoding lacks is printed as its code, and
    what nobody reads any more (``verify … | head``) is dropped: the command goes on to its end."""
    before = sys.stdout
    sys.stdout = _outliving(before)
    try:
        yield
    finally:
        ours, sys.stdout = sys.stdout, before
        if ours is not before:
            ours.flush()


def _outliving(stream: Any) -> Any:
    for each in (stream, sys.stderr):
        if isinstance(each, io.TextIOWrapper):
            each.reconfigure(errors="backslashreplace")
    try:
        stream.flush()
        mode = os.fstat(stream.fileno()).st_mode
    except (AttributeError, OSError):  # there is no console, or it is no file
        return stream
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return stream
    file = io.BufferedWriter(_Pipe(stream.fileno(), "wb", closefd=False))
    return io.TextIOWrapper(file, stream.encoding, "backslashreplace")


class _Pipe(io.FileIO):
    """A pipe that takes everything once its reader has left."""

    def write(self, data: Any) -> int:
        """Write, or drop what nobody reads; the pipe then leads nowhere."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in NO_READER:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)
