"""Figures: the look, what `show` puts on the page, and geometry that agrees with the operators."""

import base64
import io

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from mrcnn_lite import ops
from mrcnn_lite.lessons.kit import style
from mrcnn_lite.lessons.kit.canvas import Canvas
from mrcnn_lite.lessons.kit.grid import (
    as_array,
    draw_box,
    draw_table,
    move_box,
    pastel,
    rows_of,
    tinted,
)
from mrcnn_lite.lessons.kit.roi import samples_of, windows_of
from mrcnn_lite.lessons.n01_roi_pool import pictures as pool
from mrcnn_lite.lessons.n03_roi_align import pictures as align

ARTICLE = (10.0, 10.0, 124.0, 124.0)


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(1)
    return torch.randn((1, 1, 6, 6), generator=generator)


def size_of(png: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(png)).size


def luminance(colour: str) -> float:
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_text_colours_can_be_read_on_white():
    for colour in (style.BLACK, style.GREY):
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5


@pytest.fixture
def page(monkeypatch):
    """What `display` is asked to show."""
    shown = []
    keep = lambda data, **options: shown.append((data, options))  # noqa: E731
    monkeypatch.setattr("IPython.display.display", keep)
    return shown


def test_show_gives_picture_words_and_caption(page, capsys):
    fig, ax = style.figure(width=3, height=2)
    ax.plot([0, 1], [0, 1])
    style.show(fig, alt="a line", text="from 0 to 1")
    ((data, options),) = page
    assert options["raw"]
    assert data["text/plain"] == "Picture: a line"
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert options["metadata"]["image/png"]["alt"] == "a line"
    assert 200 < options["metadata"]["image/png"]["width"] <= 320
    assert capsys.readouterr().out == "from 0 to 1\n"


def test_show_closes_a_pyplot_figure(page):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    style.show(plt.figure(), alt="nothing", text="0")
    assert plt.get_fignums() == before


def test_canvas_redraws_what_moves_and_only_that():
    fig, ax = style.figure(width=3, height=2)
    canvas = Canvas(fig)
    line = canvas.add(ax.plot([0, 1], [0, 1])[0])
    first = canvas.pixels().copy()
    line.set_ydata([1, 0])
    second = canvas.pixels().copy()
    line.set_ydata([0, 1])
    assert not np.array_equal(first, second)
    assert np.array_equal(first, canvas.pixels())
    ax.set_facecolor(style.SKY)
    assert np.array_equal(first, canvas.pixels())
    canvas.add(line)
    assert not np.array_equal(first, canvas.pixels())
    assert size_of(canvas.png()) == (300, 200)


def test_table_and_rows_hold_the_numbers():
    values = torch.tensor([[[[1.6871, -0.00001], [2.0, 3.25]]]])
    texts = draw_table(style.figure()[1], values)
    assert [text.get_text() for text in texts[:1]] == ["1.6871"]
    assert rows_of(values).split() == ["1.6871", "0.0000", "2.0000", "3.2500"]


def test_move_box():
    patch = draw_box(style.figure()[1], (0, 0, 1, 1), style.BLUE)
    move_box(patch, (2, 3, 5, 7))
    assert patch.get_bbox().bounds == (2, 3, 3, 4)


def random_boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(-40, 240, (count, 4), generator=generator)
    return corners.float()  # halves of a cell, outside the map and reversed: all occur


@pytest.mark.parametrize("stride", [8, 32])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_windows_are_those_of_the_operator(features, size, stride):
    for box in random_boxes(60, seed=size):
        windows = windows_of(box, size, 1 / stride, 6, 6)
        array = as_array(features)
        ours = [
            array[a:b, c:d].max() if b > a and d > c else 0.0
            for a, b in windows.rows
            for c, d in windows.columns
        ]
        theirs = ops.roi_pool(features, [box[None]], size, 1 / stride).flatten()
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)


def test_article_windows(features):
    windows = windows_of(ARTICLE, 2, 1 / 32, 6, 6)
    assert windows.rows == windows.columns == [(0, 3), (2, 5)]
    assert windows.box == (0, 0, 5, 5)
    counts = windows.counts(6, 6)
    assert (counts > 1).sum() == 9
    assert counts[2, 2] == 4
    cells = windows.maxima(as_array(features))
    assert cells == [(2, 1), (2, 3), (4, 2), (4, 4)]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 1, 2, 5])
def test_samples_average_to_the_operator(features, ratio, aligned):
    for box in random_boxes(20, seed=ratio + 9):
        samples = samples_of(box, 2, 1 / 32, ratio, aligned)
        x, y = samples.points()
        cells = [align.cell_of(features, a, b) for a, b in zip(x, y)]
        values = np.array([cell.value for cell in cells]).reshape(4, -1)
        ours = values.mean(1) if values.size else np.zeros(4)
        options = {"sampling_ratio": ratio, "aligned": aligned}
        theirs = ops.roi_align(features, [box[None]], 2, 1 / 32, **options).flatten()
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_article_cell(features):
    samples = samples_of(ARTICLE, 2, 1 / 32, 1, aligned=False)
    assert samples.y.flatten().tolist() == [1.203125, 2.984375]
    cell = align.cell_of(features, 1.203125, 1.203125)
    assert (cell.rows, cell.columns) == ((1, 2), (1, 2))
    assert cell.u == cell.v == 0.203125
    assert [round(weight, 4) for weight in cell.weights] == [0.6350, 0.1619, 0.1619, 0.0413]
    assert round(cell.value, 4) == -0.8546


def test_weight_areas_are_the_weights(features):
    cell = align.cell_of(features, 1.25, 3.5)
    patches = align.weights_figure(cell).axes[0].patches
    areas = [patch.get_width() * patch.get_height() for patch in patches]
    np.testing.assert_allclose(areas, cell.weights)


def test_every_picture_is_drawn(features):
    samples = samples_of(ARTICLE, 2, 1 / 32, 2, aligned=False)
    outputs = ops.roi_align(features, [torch.tensor([ARTICLE])], 2, 1 / 32, 2, aligned=False)
    pictures = [
        pool.proposal_figure(features, ARTICLE),
        pool.stride_figure(ARTICLE, 192, (16, 32), ["a", "b"]),
        pool.windows_figure(features, ARTICLE, outputs, 32),
        align.align_figure(features, samples, outputs),
        align.weights_figure(align.cell_of(features, 1.2, 1.2)),
        align.ratio_figure(features, [samples, samples], ["a", "b"]),
        align.slide_figure(range(3), [0, 0, 1], [0, 0.5, 1]),
    ]
    for picture in pictures:
        assert isinstance(picture, Figure)
        png = style.figure_png(picture)
        assert len(png) < 80_000
        assert min(size_of(png)) > 200


def test_one_colour_map_in_one_direction():
    """A weight has the colour that a value of its size has; nothing is white."""
    zero, little, much = tinted([[0.0, -0.1, 2.0]])[0]
    assert (zero == 1).all()
    least, _, most = pastel(np.array([[0.0, 0.1, 2.0]]))[0]
    np.testing.assert_allclose(much, most)
    assert np.abs(little - least).max() < 0.05 < np.abs(little - most).max()
