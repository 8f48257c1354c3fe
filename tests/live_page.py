"""The live page's network for the tests."""

from functools import cache

import pytest
import torch

from tools import build_live

# What a stage chooses. Scores and overlaps that are equal but for rounding may fall either way.
CHOICES = ("anchors", "candidate_kept", "proposal_source", "class_kept", "detection_source")


@cache
def network() -> dict:
    """What the page knows of the network; its file is `build_live.BUILD / "stages.onnx"`."""
    return build_live.write_network()


def needs_npm() -> None:
    """Skip a test where what npm brings is not there; it is not fetched."""
    if not build_live.RUNTIME.exists():
        pytest.skip("npm: run `npm ci --ignore-scripts` in docs/live")


def same_choices(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    """Whether two runtimes chose the same rows in one order, and can be compared row by row."""
    return all(torch.equal(found[name], expected[name]) for name in CHOICES)
