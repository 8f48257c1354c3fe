"""Where tests find real photographs; without them they are skipped and say so."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = Path(os.environ.get("MRCNN_DATA") or ROOT / ".." / "shared" / "data")
NUTS = "nuts/trainval.json"
COCO = "coco_permissive_train2017/instances_train2017.json"


def real_data(name):
    """The path of an annotation file, or a skipped test."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"real photographs: {name} is not in $MRCNN_DATA nor in ../shared/data")
    return path
