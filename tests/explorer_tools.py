"""What every explorer must do, checked without a browser."""

import io
import re
import statistics
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

MEDIAN_MS = 150  # of a new picture


def pixels(png: bytes) -> np.ndarray:
    """A PNG as numbers."""
    return np.asarray(Image.open(io.BytesIO(png)))


def check_controls(explore: Callable, changes: dict, only_text: tuple[str, ...] = ()) -> None:
    """Every control changes picture and numbers, and no earlier state is left behind."""
    first = explore()
    assert set(changes) == set(first.controls)
    assert first.state.render() == (first.png, first.text)
    assert {"image/png", "text/plain"} <= set(first._repr_mimebundle_()[0])
    moving = explore()
    for name, value in changes.items():
        fresh = explore().set(**{name: value})
        assert fresh.text != first.text, name
        assert name in only_text or (pixels(fresh.png) != pixels(first.png)).any(), name
        moving.set(**{name: value})
    direct = explore().set(**changes)
    assert (moving.png, moving.text) == (direct.png, direct.text)


def check_bundle(explore: Callable) -> None:
    """Live widget, picture and words in one bundle; labelled, and the first line is read out."""
    explorer = explore()
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert explorer.text in data["text/plain"]
    assert metadata["image/png"]["alt"] == explorer.alt
    assert all(control.description for control in explorer.controls.values())
    said = re.findall(r'<pre role="status"[^>]*>(.*?)</pre>', explorer.numbers.value, re.DOTALL)
    assert said == [explorer.text.splitlines()[0]]


def check_quick(explore: Callable, states: list[dict]) -> None:
    """A new picture comes quickly enough for a slider."""
    explorer, times = explore(), []
    for state in states:
        start = time.process_time()  # of this process alone: neighbours do not count
        explorer.set(**state)
        times.append(1000 * (time.process_time() - start))
    assert statistics.median(times) < MEDIAN_MS
