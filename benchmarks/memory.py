"""Peak memory of `predict` and `evaluate` on large photographs, each case in a process of its own.

    python -m benchmarks.memory [--quick] [--before FOLDER] [--json FILE]

The network has random weights that find at least 50 objects; about ten are good enough to be drawn.
--before is another checkout of this project, whose peak is printed beside ours; it draws nothing,
since drawing a large image took minutes. A process may not take more than 8 GB; one that asks for
more counts as that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.cpu import ROOT, Report, command
from benchmarks.table import Goal, Row

SIZES = {12: (3000, 4000), 24: (4000, 6000), 48: (6000, 8000)}  # megapixels: (height, width)
PRESETS = ("lite", "resnet50_fpn")
GOAL_GB, GOAL_MEGAPIXELS = 1.5, 24
LIMIT_GB, ADDRESSES_GB = 8.0, 4.0  # the second is what libraries take without filling it
AT_LEAST = 50  # detections, so that masks count
DRAWN = "0.5"  # score of what is drawn

# Large boxes of many classes, about ten of them with a score of .5 or more.
WEIGHTS = """
import sys, torch
from mrcnn_lite.config import PRESETS
from mrcnn_lite.datasets.images import read_image
from mrcnn_lite.models import MaskRCNN, save_weights
preset, photo, path = sys.argv[1:]
torch.manual_seed(0)
model = MaskRCNN(PRESETS[preset]().with_(box={"nms_iou": 0.9}))
box, rpn = model.roi_heads.box_predictor, model.rpn.head
torch.nn.init.normal_(box.cls_score.weight, std={"lite": 0.5, "resnet50_fpn": 0.0175}[preset])
torch.nn.init.normal_(box.bbox_pred.weight, std=1e-6)
box.bbox_pred.bias.data.view(-1, 4)[:, 2:] = 8
torch.nn.init.normal_(rpn.cls_logits.weight)
save_weights(model, path, ["background", *map(str, range(1, model.config.num_classes))])
with torch.inference_mode():
    found = model.eval()([read_image(photo)[:, ::8, ::8] / 255])[0]
print(len(found["scores"]), int((found["scores"] >= 0.5).sum()))
"""
PEAK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), resource.RLIM_INFINITY))
from mrcnn_lite.cli import main
try:
    status = main(sys.argv[2:])
except (MemoryError, RuntimeError) as error:
    sys.exit(9 if "memory" in str(error) or isinstance(error, MemoryError) else str(error))
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


def python(tree: Path, code: str, *words: object) -> subprocess.CompletedProcess:
    """Run code with the package of a checkout."""
    call = [sys.executable, "-c", code, *map(str, words)]
    env = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "2"}
    return subprocess.run(call, cwd=tree, env=env, capture_output=True, text=True)


def peak_gb(tree: Path, words: list[object]) -> float:
    """The largest resident set of a command, in GB; the limit where it wanted more."""
    done = python(tree, PEAK, int((LIMIT_GB + ADDRESSES_GB) * 1e9), *words)
    if done.returncode == 9:
        return LIMIT_GB
    if done.returncode:
        raise RuntimeError(done.stderr)
    unit = 1 if sys.platform == "darwin" else 1024
    return min(LIMIT_GB, int(done.stdout.split()[-1]) * unit / 1e9)


def data_set(folder: Path, size: tuple[int, int], classes: int) -> Path:
    """One photograph of smooth noise as a COCO file with one object."""
    from PIL import Image

    height, width = size
    noise = np.random.default_rng(0).integers(0, 255, (60, 40, 3), np.uint8)
    Image.fromarray(noise).resize((width, height)).save(folder / "photo.jpg")
    box = [0, 0, width // 2, height // 2]
    polygon = [0, 0, width // 2, 0, width // 2, height // 2]
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "segmentation": [polygon]}
    row |= {"area": box[2] * box[3] / 2, "iscrowd": 0}
    image = {"id": 1, "file_name": "photo.jpg", "height": height, "width": width}
    names = [{"id": k, "name": str(k)} for k in range(1, classes)]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": [image], "annotations": [row], "categories": names}))
    return path


def measure(quick: bool, before: str) -> Report:
    """Every preset, size and command."""
    from mrcnn_lite.config import PRESETS as CONFIGS

    trees = {"ours": ROOT} | ({"before": Path(before).resolve()} if before else {})
    cases = []
    for preset in PRESETS[:1] if quick else PRESETS:
        for megapixels in (12,) if quick else SIZES:
            with tempfile.TemporaryDirectory() as name:
                folder, size = Path(name), SIZES[megapixels]
                data = data_set(folder, size, CONFIGS[preset]().num_classes)
                case = {"preset": preset, "megapixels": megapixels}
                for label, tree in trees.items():
                    case[label] = peaks(tree, preset, data, DRAWN if label == "ours" else "1")
            print(case, flush=True)
            cases.append(case)
    return {"limit_gb": LIMIT_GB, "cases": cases}


def peaks(tree: Path, preset: str, data: Path, score: str) -> dict[str, float]:
    """The peak of each command in a checkout, in GB."""
    photo, weights, out = (data.with_name(name) for name in ("photo.jpg", "w.safetensors", "out"))
    made = python(tree, WEIGHTS, preset, photo, weights)
    assert int(made.stdout.split()[0]) >= AT_LEAST, made.stdout + made.stderr
    words = {
        "predict": [photo, "--out", out.with_name(tree.name), "--score", score],
        "evaluate": ["--data", data],
    }
    return {
        name: round(peak_gb(tree, [name, "--weights", weights, *more]), 3)
        for name, more in words.items()
    }


def rows(report: Report) -> list[Row]:
    """The peak of every case, against the goal where there is one."""
    bounded = ("predict", GOAL_MEGAPIXELS)
    return [
        Row(
            "memory",
            f"{name}, {case['preset']}, {case['megapixels']} megapixels, peak",
            value,
            "GB",
            Goal(GOAL_GB, at_most=True) if (name, case["megapixels"]) == bounded else None,
            _before(case["before"][name], report["limit_gb"]) if "before" in case else "",
        )
        for case in report["cases"]
        for name, value in case["ours"].items()
    ]


def _before(value: float, limit: float) -> str:
    return f"before: {'over ' if value >= limit else ''}{value:g} GB"


def main() -> int:
    """Measure every case."""
    before = ("", "another checkout of this project, to compare with")
    return command(__doc__, measure, quick=(False, "the smallest case only"), before=before)


if __name__ == "__main__":
    raise SystemExit(main())
