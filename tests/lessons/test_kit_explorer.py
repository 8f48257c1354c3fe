"""The layer below all explorers, without a browser."""

import pytest

from mrcnn_lite.lessons.kit.explorer import Explorer, choice, slider, toggle

PNG = b"\x89PNG\r\n\x1a\n"


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


def test_reset_and_the_names():
    explorer = Explorer(Counter(), [slider("a", "A", 0, 5)], "words").set(a=4)
    controls, _, _, names = explorer.box.children
    controls.children[-1].click()
    assert (explorer.state.a, explorer.controls["a"].value) == (1, 1)
    assert names.alt == "words"
