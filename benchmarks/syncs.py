"""How often the host waits for the GPU, and where.

    python -m benchmarks.syncs [--torchvision]

Counted on fake tensors (`mrcnn_lite/lessons/n17_gpu_training/waits.py`), so that no GPU is needed;
where there is one, PyTorch itself counts too. --torchvision counts its training step instead.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.gpu import count_waits
from benchmarks.table import NO_GPU, Goal, Row
from mrcnn_lite.config import Config, lite, resnet50_fpn
from mrcnn_lite.lessons.n17_gpu_training.waits import (
    SIZE,
    locations,
    make_batch,
    waits_of_a_step,
    waits_of_inference,
    waits_of_torchvision,
)
from mrcnn_lite.training import TrainingRun

NAME = "syncs"
GOALS = {
    "training step, batch on the GPU": Goal(3, at_most=True),
    "training step, batch from the host": Goal(3, at_most=True),
    "inference, one image": Goal(2, at_most=True),
    "training step, on a GPU, counted by PyTorch": Goal(3, at_most=True),
    "inference, one image, on a GPU, counted by PyTorch": Goal(2, at_most=True),
}


def run(small: bool = False) -> list[Row]:
    """Count all of it; `small` takes the network for laptops and small images, for a rehearsal."""
    config, size = (lite(), (64, 96)) if small else (resnet50_fpn(), SIZE)
    watches = (
        waits_of_a_step(config, "cuda", size),
        waits_of_a_step(config, "cpu", size),
        waits_of_inference(config, size),
    )
    rows = [
        Row(NAME, what, len(watch.found), "waits", goal, details={"locations": locations(watch)})
        for (what, goal), watch in zip(GOALS.items(), watches, strict=False)
    ]
    here = torch.cuda.is_available() and not small
    counts = counted_by_pytorch(config) if here else (None, None)
    for (what, goal), count in zip(list(GOALS.items())[len(rows) :], counts, strict=True):
        rows.append(Row(NAME, what, count, "waits", goal, "" if here else NO_GPU))
    return rows


def counted_by_pytorch(config: Config) -> tuple[int | None, int | None]:
    """Waits of a real training step and of real inference in one image, on the GPU."""
    mixed = config.with_(training={"precision": "bf16"})
    run = TrainingRun(mixed, [str(i) for i in range(config.num_classes)], 0, "cuda")
    batch = make_batch(2, "cpu")
    step = count_waits(lambda: run.step(batch, 0.0), dry=False)
    model, image = run.model.eval(), batch[0][0].to("cuda")

    def inference() -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            model([image])

    return step, count_waits(inference, dry=False)


def main() -> None:
    """Print how often, and where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torchvision", action="store_true", help="its training step instead")
    if parser.parse_args().torchvision:
        watch = waits_of_torchvision()
        print(f"torchvision's training step, batch on the GPU: {len(watch.found)} waits")
        print("".join(f"    {line}\n" for line in locations(watch)))
        return
    for row in run():
        print(f"{row.what}: {row.why or f'{row.value} waits'}")
        print("".join(f"    {line}\n" for line in row.details.get("locations", [])))


if __name__ == "__main__":
    main()
