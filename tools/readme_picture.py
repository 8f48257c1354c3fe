"""Draw the README's picture: what the shipped weights find on pictures they have never seen.

python tools/readme_picture.py writes docs/predictions.jpg.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.draw import paint_instances
from mrcnn_lite.models import load_weights

ROOT = Path(__file__).resolve().parent.parent
HELD_OUT_SEED, PLACES = 2, (11, 22, 24, 21)  # five objects each
GAP, SIDE = 12, 384  # pixels


def main() -> None:
    """Paint the detections of four held-out pictures side by side."""
    model, names = load_weights(ROOT / "data" / "weights" / "shapes_lite.safetensors")
    shapes = Shapes(max(PLACES) + 1, HELD_OUT_SEED)
    tiles = []
    for place in PLACES:
        image, _ = shapes[place]
        with torch.inference_mode():
            found = model([image])[0]
        tile = Image.fromarray(paint_instances(image, found, names)).resize((SIDE, SIDE))
        tiles += [np.full((SIDE, GAP, 3), 255, np.uint8), np.asarray(tile)]
    strip = Image.fromarray(np.concatenate(tiles[1:], axis=1))
    (ROOT / "docs").mkdir(exist_ok=True)
    strip.save(ROOT / "docs" / "predictions.jpg", quality=88)


if __name__ == "__main__":
    main()
