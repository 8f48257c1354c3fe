"""One command from its words to its exit status."""

from __future__ import annotations

import sys

from torch.multiprocessing import ProcessRaisedException

from ..training.distributed import DeadProcess, launch
from .evaluate import evaluate_data
from .options import read_options
from .predict import predict_images
from .train import train_network
from .verify import verify_data

RUN = {
    "train": train_network,
    "evaluate": evaluate_data,
    "predict": predict_images,
    "verify": verify_data,
}
# What a user can put right: these end in one sentence, everything else in a traceback.
MISTAKES = (
    ValueError,
    FloatingPointError,
    OSError,  # no such file, no permission, a full disk
    DeadProcess,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a user's mistake ends in one sentence on stderr and exit status 2."""
    try:
        options = read_options(arguments)
    except SystemExit as ended:  # of --help, or of a mistake that was told
        return int(ended.code or 0)
    try:
        return launch(RUN[options.command], options.workers, options) or 0
    except ProcessRaisedException as error:
        # The traceback of a training process, as text; its last line is the error.
        kind, _, message = str(error).strip().splitlines()[-1].partition(": ")
        kinds = {mistake.__name__ for mistake in (*MISTAKES, *OSError.__subclasses__())}
        if kind.split(".")[-1] not in kinds:
            raise
        print(f"mrcnn_lite {options.command}: {message}", file=sys.stderr)
        return 2
    except MISTAKES as error:
        print(f"mrcnn_lite {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; go on with --resume", file=sys.stderr)
        return 130
