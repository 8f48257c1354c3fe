"""The live page draws its shapes as `mrcnn_lite.datasets.drawing` draws those of training."""

import json
import math
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from source_tree import ROOT

from mrcnn_lite.datasets.drawing import DISTANCES, MAX_ASPECT, MIN_SIDE

DRAWING = ROOT / "docs" / "live" / "drawing.js"
CASES, POINTS = 60, 40
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node: it is not installed")


def draw_case(random: np.random.Generator) -> dict:
    """A shape of any kind, and points around it."""
    kind = str(random.choice(list(DISTANCES)))
    long = random.uniform(MIN_SIDE[kind], 60)
    shape = {
        "kind": kind,
        "x": random.uniform(0, 128),
        "y": random.uniform(0, 128),
        "long": long,
        "short": long / random.uniform(1, MAX_ASPECT[kind]),
        "angle": random.uniform(0, 2 * math.pi),
        "bite": [random.uniform(0.5, 0.65), random.uniform(0.8, 0.9)],
    }
    points = random.uniform(-0.7, 0.7, (POINTS, 2)) * long + [shape["x"], shape["y"]]
    return {"shape": shape, "points": points.tolist()}


def distances(case: dict) -> np.ndarray:
    """What `drawing` says of the points: px, below 0 inside."""
    shape = case["shape"]
    a, b = shape["long"] / 2, shape["short"] / 2
    x, y = (np.array(case["points"]) - [shape["x"], shape["y"]]).T
    cos, sin = math.cos(shape["angle"]), math.sin(shape["angle"])
    u, v = (cos * x + sin * y) / a, (cos * y - sin * x) / b
    bite = iter(shape["bite"])
    random = SimpleNamespace(uniform=lambda low, high: next(bite))
    # Shapes work on windows, arrays of two dimensions.
    window = u.astype(np.float32)[None], v.astype(np.float32)[None]
    return DISTANCES[shape["kind"]](*window, a, b, random)[0]


def test_shapes_are_those_of_training():
    random = np.random.default_rng(4)
    cases = [draw_case(random) for _ in range(CASES)]
    assert {case["shape"]["kind"] for case in cases} == set(DISTANCES)
    command = ["node", str(ROOT / "tests" / "live_drawing.mjs"), DRAWING.as_uri()]
    run = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for case, drawn in zip(cases, json.loads(run.stdout), strict=True):
        assert drawn == pytest.approx(distances(case), abs=1e-3), case["shape"]


def test_limits_are_those_of_training():
    text = DRAWING.read_text(encoding="utf-8")
    for name, sizes in {"MAX_ASPECT": MAX_ASPECT, "MIN_SIDE": MIN_SIDE}.items():
        written = ", ".join(f"{kind}: {size:g}" for kind, size in sizes.items())
        assert f"{name} = {{ {written} }}" in text
