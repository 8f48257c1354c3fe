"""The live page for the tests: built once for a file, or skipped by name where npm is absent."""

import os
from functools import cache
from pathlib import Path

import pytest
from source_tree import ROOT

from tools import build_live


@cache
def network() -> dict:
    """What the page knows of the network; its file is `build_live.BUILD / "stages.onnx"`."""
    return build_live.write_network()


@cache
def built_page() -> Path:
    """The page, without a network."""
    needs_npm()
    page = ROOT / "build" / f"test-live-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.html"
    assert not build_live.build(page)
    return page


def needs_npm() -> None:
    """Skip a test where what npm brings is not there; it is not fetched."""
    if not build_live.RUNTIME.exists():
        pytest.skip("npm: run `npm ci --ignore-scripts` in docs/live")
