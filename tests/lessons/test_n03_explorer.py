"""Lesson 03's explorer and the layer below all explorers, without a browser."""

import re

import pytest
import torch

from mrcnn_lite import ops
from mrcnn_lite.lessons.kit.explorer import Explorer, choice, slider, toggle
from mrcnn_lite.lessons.n03_roi_align.explorer import RoIAlignState, explore_roi_align

PNG = b"\x89PNG\r\n\x1a\n"
POOL = [[1.6871, 0.4676], [2.0242, 2.3571]]
ALIGN = [[-0.8546, 0.3236], [0.2177, 0.0546]]


def numbers_after(word: str, text: str, count: int) -> list[float]:
    return [float(n) for n in re.findall(r"-?\d+\.\d+", text.split(word)[-1])[:count]]


def flat(rows: list[list[float]]) -> list[float]:
    return [number for row in rows for number in row]


def test_it_starts_with_the_article():
    png, text = RoIAlignState().render()
    assert png.startswith(PNG)
    assert numbers_after("RoIAlign:", text, 4) == flat(ALIGN)
    assert numbers_after("RoIPool:", text, 4) == flat(POOL)
    assert "sum = -0.8546" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("x1", 20), ("y1", 30), ("x2", 90), ("y2", 180), ("size", 3), ("bin", 3), ("aligned", True)]
    + [("sampling_ratio", ratio) for ratio in (0, 2, 3, 4, 5, 6, 7, 8)],
)
def test_align_follows_every_control(name, value):
    explorer = explore_roi_align()
    png, text = explorer.png, explorer.text
    explorer.controls[name].value = value
    assert explorer.png != png
    assert explorer.text != text


def test_align_walks_through_the_samples():
    explorer = explore_roi_align(sampling_ratio=2)
    texts = [explorer.set(point=point).text for point in (1, 2, 3, 4, 5)]
    assert len(set(texts)) == 4, "the fifth is the first again"
    before = explorer.png
    assert explorer.set(pool_window=False).png != before


def test_numbers_are_those_of_the_operators():
    generator = torch.Generator().manual_seed(4)
    align = RoIAlignState()
    for _ in range(25):
        corners = torch.randint(0, 193, (4,), generator=generator).tolist()
        align.x1, align.y1, align.x2, align.y2 = corners
        box = [torch.tensor([corners], dtype=torch.float32)]
        align.aligned = not align.aligned
        align.sampling_ratio = (align.sampling_ratio + 1) % 9
        text = align.render()[1]
        right = ops.roi_pool(align.features, box, 2, 1 / 32)
        assert numbers_after("RoIPool:", text, 4) == pytest.approx(
            right.flatten().tolist(), abs=6e-5
        )
        right = ops.roi_align(
            align.features, box, 2, 1 / 32, align.sampling_ratio, aligned=align.aligned
        )
        assert numbers_after("RoIAlign:", text, 4) == pytest.approx(
            right.flatten().tolist(), abs=6e-5
        )


def test_own_maps():
    assert "sum = 4.0000" in explore_roi_align(torch.full((1, 1, 7, 9), 4.0)).text
    with pytest.raises(ValueError, match=r"\[1, 1, h, w\]"):
        explore_roi_align(torch.zeros(6, 6))


def test_shown_as_one_bundle():
    explorer = explore_roi_align()
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert explorer.text in data["text/plain"]
    assert metadata["image/png"]["alt"] == explorer.alt


def test_controls_are_labelled_and_one_line_is_announced():
    explorer = explore_roi_align()
    assert all(control.description for control in explorer.controls.values())
    said = re.findall(r'<pre role="status"[^>]*>(.*?)</pre>', explorer.numbers.value, re.DOTALL)
    assert len(said) == 1 and said[0] == explorer.text.splitlines()[0], "one short line"
    assert explorer.image.layout.width


class Counter:
    """A state that counts its pictures."""

    def __init__(self):
        self.a, self.b, self.c, self.pictures = 1, False, "x", 0

    def render(self) -> tuple[bytes, str]:
        self.pictures += 1
        return PNG, f"a <{self.a}>"


def test_base_layer():
    controls = [slider("a", "A", 0, 5), toggle("b", "B"), choice("c", "C", ["x", "y"])]
    explorer = Explorer(Counter(), controls, "words")
    assert explorer.state.pictures == 1
    explorer.set(a=3, b=True, c="y")
    assert explorer.state.pictures == 2, "several changes, one picture"
    assert (explorer.state.a, explorer.state.b, explorer.state.c) == (3, True, "y")
    assert "a &lt;3&gt;" in explorer.numbers.value
    with pytest.raises(ValueError, match="no control named 'z'"):
        explorer.set(z=1)
