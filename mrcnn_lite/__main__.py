"""`python -m mrcnn_lite`."""

import os
import sys

from .cli import main
from .training.distributed import leave

if __name__ == "__main__":
    status = main()
    if "TORCHELASTIC_RUN_ID" in os.environ:  # one of torchrun's processes
        leave(status)
    sys.exit(status)
