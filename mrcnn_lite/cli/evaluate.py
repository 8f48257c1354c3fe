"""`evaluate`: average precision of trained weights."""

import argparse
import json
import math
from pathlib import Path

from ..datasets import CocoDataset, Shapes
from ..datasets.values import one_form
from ..evaluation.coco import evaluate
from ..files import check_output, write_whole
from ..models import load_weights
from ..training import open_data
from ..training.distributed import rank
from ..training.recipe import DRAWN
from .train import tell_images

OUR_JSON = rb'\{\n "(mask|box)": \{\n  "AP": '


def evaluate_data(options: argparse.Namespace) -> None:
    """Print the AP of masks, boxes and keypoints; under torchrun the processes share the images."""
    from tqdm import tqdm

    if options.json:  # said before the work, not after it
        check_output(options.json, "--json", OUR_JSON)
    model, class_names = load_weights(options.weights)
    model.to(options.device)
    dataset = _open(options)
    if dataset.class_names != [one_form(name) for name in class_names]:
        raise ValueError(f"the weights know {class_names}, the data {dataset.class_names}")
    figures = evaluate(
        model, dataset, progress=lambda b: tqdm(b, unit="batch", disable=rank() != 0)
    )
    if rank() != 0:
        return
    names, kinds = list(figures["box"]), [kind for kind in figures if kind != "images"]
    print(f"{figures['images']} images  " + "  ".join(f"{name:>5}" for name in names))
    for kind in kinds:
        values = "  ".join(f"{figures[kind].get(name, math.nan):5.3f}" for name in names)
        print(f"{kind:<{len(str(figures['images'])) + 7}}  {values}")
    if options.json:
        # JSON has no NaN; a figure without any object to measure it on becomes null.
        for kind in kinds:
            figures[kind] = {k: None if math.isnan(v) else v for k, v in figures[kind].items()}
        write_whole(options.json, (json.dumps(figures, indent=1) + "\n").encode())


def _open(options: argparse.Namespace) -> Shapes | CocoDataset:
    """The data to measure on; --images means one thing of shapes and another of files."""
    count = options.images if isinstance(options.images, int) else None
    folder = options.images if isinstance(options.images, Path) else None
    if count and options.data not in DRAWN:
        raise ValueError(f"--images {count} counts drawn shapes; of files --only 0,1,2 chooses")
    more = {"images": count} if count else {}
    dataset = open_data(options.data, True, options.only, image_folder=folder, **more)
    if isinstance(dataset, CocoDataset):
        dataset.require_objects()
        tell_images(dataset)
    return dataset
