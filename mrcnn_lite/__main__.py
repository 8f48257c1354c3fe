"""`python -m mrcnn_lite`."""

import os
import sys

from .cli import main

if __name__ == "__main__":
    status = main()
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # Under torchrun: gloo's threads may outlive the interpreter's tidying up and abort the
        # process after its work is done (pytorch/pytorch #190489), so nothing is tidied up.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
