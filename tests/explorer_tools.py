"""What every explorer must do, checked without a browser."""

import io
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


def check_quick(explore: Callable, states: list[dict]) -> None:
    """A new picture comes quickly enough for a slider."""
    explorer, times = explore(), []
    for state in states:
        start = time.process_time()  # of this process alone: neighbours do not count
        explorer.set(**state)
        times.append(1000 * (time.process_time() - start))
    assert statistics.median(times) < MEDIAN_MS
