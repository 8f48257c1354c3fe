"""`predict`: detections drawn over images."""

from __future__ import annotations

import argparse

import torch

from ..models import load_weights


def predict_images(options: argparse.Namespace) -> None:
    """Write one PNG per image with boxes, classes, scores and masks."""
    from PIL import Image

    from ..datasets.images import read_image
    from ..draw import paint_instances

    model, class_names = load_weights(options.weights)
    model.to(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.images:
        image = read_image(path) / 255  # [3, H, W] in 0..1
        with torch.inference_mode():
            detections = {key: v.cpu() for key, v in model([image.to(options.device)])[0].items()}
        target = options.out / f"{path.stem}.png"
        painted = paint_instances(image, detections, class_names, score_threshold=options.score)
        Image.fromarray(painted).save(target)
        count = int((detections["scores"] >= options.score).sum())
        print(f"{path.name}: {count} objects with a score of {options.score} or more; {target}")
