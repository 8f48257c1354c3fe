"""Build the live page: the network that runs in the browser; `course.py site` calls this.

`python -m tools.build_live` writes build/live/stages.onnx, the shipped network with its stages as
outputs, and build/live/stages.json, what a page must know of it.
"""

import json
import sys
from pathlib import Path

from mrcnn_lite.export import export_stages
from mrcnn_lite.files import write_whole
from mrcnn_lite.models import load_weights

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "live"
WEIGHTS = ROOT / "data" / "weights" / "shapes_lite.safetensors"
SIZE = (128, 128)


def write_network(folder: Path = BUILD) -> dict:
    """Write the network and its metadata.

    Returns:
        The metadata, see `export_stages`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    meta = export_stages(*load_weights(WEIGHTS), folder / "stages.onnx", SIZE)
    write_whole(folder / "stages.json", json.dumps(meta, indent=1).encode())
    return meta


if __name__ == "__main__":
    write_network()
    sys.exit(0)
