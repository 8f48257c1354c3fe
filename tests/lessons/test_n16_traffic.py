"""Notebook 16's counts, pictures and explorer: they say what loops of plain Python count."""

import math
import re
from collections import Counter

import pytest
import torch
import torchvision
from explorer_tools import check_bundle
from torch.utils._python_dispatch import TorchDispatchMode

from mrcnn_lite.lessons.kit import roi_scene, style
from mrcnn_lite.lessons.n16_gpu_roi_align import pictures as draw
from mrcnn_lite.lessons.n16_gpu_roi_align import traffic
from mrcnn_lite.lessons.n16_gpu_roi_align.explorer import KernelTrafficState, explore_kernel_traffic
from tools.exercise_sources import chapter_of

CELLS = [text for kind, text in chapter_of("16-touched").cells if kind == "code"]
PNG = b"\x89PNG\r\n\x1a\n"


def samples(scene, k, axis, size, ratio):
    """Positions on an axis of the map, bin by bin."""
    start, step = float(scene.start[k, axis]), float(scene.extent[k, axis]) / size
    return [[start + (p + (s + 0.5) / ratio) * step for s in range(ratio)] for p in range(size)]


def elements(scene, k, axis, size, ratio, n):
    """What each bin reads: the lower neighbours of its samples, then the higher ones."""
    rows = []
    for positions in samples(scene, k, axis, size, ratio):
        low = [min(int(at), n - 1) for at in positions]
        rows.append(low + [min(at + 1, n - 1) for at in low])
    return rows


def test_the_scene():
    scene, boxes = roi_scene.random_scene(200), roi_scene.random_boxes(200)
    sides = boxes[:, 2:] - boxes[:, :2]
    assert sides.min() >= 16 and sides.max() < 512
    assert (boxes >= 0).all() and (boxes[:, 2] < 1344).all() and (boxes[:, 3] < 800).all()
    assert torch.equal(boxes[:50], roi_scene.random_boxes(50))
    root = sides.prod(1).sqrt()
    assert torch.equal(scene.source[:, 1] == 0, root < 112)
    scale = torch.tensor(roi_scene.STRIDES)[scene.source[:, 1], None]
    assert torch.equal(scene.start * scale, boxes[:, :2])


@pytest.mark.parametrize(("size", "ratio"), [(7, 2), (3, 1), (2, 3)])
def test_axis_reads(size, ratio):
    scene = roi_scene.random_scene(20)
    read = roi_scene.axis_reads(scene.start[:, 0], scene.extent[:, 0], size, ratio, 200)
    assert read.tolist() == [elements(scene, k, 0, size, ratio, 200) for k in range(20)]


@pytest.mark.parametrize(("size", "ratio"), [(7, 2), (4, 1)])
def test_touched_elements(size, ratio):
    scene, seen = roi_scene.random_scene(40), set()
    for k, (image, level) in enumerate(scene.source.tolist()):
        h, w = roi_scene.shapes()[level]
        ys, xs = (elements(scene, k, axis, size, ratio, n) for axis, n in ((1, h), (0, w)))
        flat = [{e for row in rows for e in row} for rows in (ys, xs)]
        seen |= {(level, image, y, x) for y in flat[0] for x in flat[1]}
    marked = roi_scene.touched(40, size, ratio)
    found = {(level, *at) for level, m in enumerate(marked) for at in m.nonzero().tolist()}
    assert found == seen


def test_sectors():
    assert traffic.sectors(torch.tensor([0, 4, 31])) == 1
    assert traffic.sectors(torch.tensor([31, 32, 0, 64])) == 3
    many = torch.randint(0, 500, (6, 32), generator=torch.Generator().manual_seed(1))
    assert traffic.sectors(many).tolist() == [len({a // 32 for a in row}) for row in many.tolist()]


def test_the_addresses_of_neighbouring_numbers():
    """Number by number, as the naive kernel of notebook 16 finds them."""
    scene, size, ratio, k = roi_scene.random_scene(30), 3, 2, 7
    h, w = roi_scene.shapes()[scene.source[k, 1]]
    ys, xs = elements(scene, k, 1, size, ratio, h), elements(scene, k, 0, size, ratio, w)
    rows = torch.tensor([2, k])
    found = traffic.output_addresses(scene, rows, size, ratio, itemsize=2, programs=9)[1]
    assert found.shape == (16, 9, 32)
    some = traffic.output_addresses(scene, rows, size, ratio, itemsize=2, programs=3)[1]
    assert torch.equal(some, found[:, ::3])
    for load in range(16):
        for number in (0, 1, 31, 32, 100, 287):
            column, row, channel = number % size, number // size % size, number // size**2
            y, x = ys[row][load // 4], xs[column][load % 4]
            assert found[load].flatten()[number] == ((channel * h + y) * w + x) * 2


@pytest.mark.parametrize("itemsize", [4, 2])
@pytest.mark.parametrize(("block", "row"), [(128, True), (8, False), (64, True), (4, True)])
def test_channels_last(itemsize, block, row):
    """Every load of every program, for a few RoIs."""
    plan = traffic.Plan("channels last", block, row, itemsize)
    count, channels, size, ratio = 5, 80, 3, 2
    t = traffic.predict_traffic(plan, count, channels, size, ratio)
    requests = 0
    for first in range(0, channels, block):
        owned = range(first, min(first + block, channels))
        requests += len({c * itemsize // 32 for c in owned})
    assert t.asked == count * size**2 * 16 * requests * 32
    blocks = math.ceil(channels / min(block, channels))
    assert t.programs == count * size * blocks * (1 if row else size)
    assert t.asked_boxes == t.programs * 4 * 32 and t.reads == 16
    seen = sum(int(m.sum()) for m in roi_scene.touched(count, size, ratio))
    assert t.moved == seen * channels * itemsize
    assert t.output == count * size**2 * channels * itemsize


def test_channel_by_channel():
    count, channels, size, ratio = 4, 32, 3, 1
    one = traffic.predict_traffic(traffic.Plan("one number"), count, channels, size, ratio)
    assert one.programs == count * channels * size**2 and one.sectors == 32
    assert one.asked == one.programs * 4 * 32
    many = traffic.predict_traffic(traffic.Plan("32 numbers"), count, channels, size, ratio)
    assert many.programs * 32 == one.programs
    scene, rows = roi_scene.random_scene(4), torch.arange(4)
    addresses = traffic.output_addresses(scene, rows, size, ratio, programs=traffic.GROUPS)
    assert many.sectors == pytest.approx(float(traffic.sectors(addresses).double().mean()))
    assert 4 < many.sectors < 32 and many.asked == many.programs * 4 * many.sectors * 32
    planes = 0
    for m in roi_scene.touched(count, size, ratio):
        for plane in m.flatten(1):
            planes += len({int(e) * 4 // 32 for e in plane.nonzero()})
    assert one.moved == many.moved == planes * channels * 32


def test_bad_plans():
    with pytest.raises(ValueError, match="layout must be one of one number, 32 numbers"):
        traffic.predict_traffic(traffic.Plan("rows"))
    with pytest.raises(ValueError, match="multiple of 16, got 24"):
        traffic.predict_traffic(traffic.Plan(), channels=24)


def test_operations():
    (source,) = [text for text in CELLS if text.startswith("class Listener(")]
    scope = {"TorchDispatchMode": TorchDispatchMode, "Counter": Counter}
    exec(source, scope)
    x, boxes = torch.zeros(1, 1, 8, 8), [torch.tensor([[0.0, 0, 4, 4]])]
    with scope["Listener"]() as heard:
        torchvision.ops.roi_align(x, boxes, 2)
    assert heard.calls["roi_align"] == 1
    with scope["Listener"]() as heard:
        x + x * x
    assert heard.calls == {"add": 1, "mul": 1}


def test_every_figure_is_drawn():
    addresses = torch.arange(32) * 4
    figures = [
        draw.vector_figure(10, 4),
        draw.owners_figure({"a": torch.arange(8).view(2, 4), "b": torch.zeros(2, 4).int()}, 2),
        draw.sectors_figure([("one", addresses[:1]), ("all", addresses)]),
        draw.traffic_figure({"first": (800.0, 100.0), "second": (400.0, 50.0)}),
    ]
    assert [len(figure.axes) for figure in figures] == [1, 2, 2, 1]
    for figure in figures:
        assert style.figure_png(figure).startswith(PNG)
    words = [t.get_text() for ax in figures[2].axes for t in ax.texts]
    assert "sectors: 1, used: 12.5%" in words and "sectors: 4, used: 100.0%" in words
    with pytest.raises(ValueError, match="far: 40 sectors"):
        draw.sectors_figure([("far", torch.arange(40) * 32)])


# --- The explorer -------------------------------------------------------------------------------


def test_it_starts_with_the_packages_kernel():
    png, text = KernelTrafficState().render()
    assert png.startswith(PNG)
    assert "14000 programs" in text and "7 x 128 = 896 output numbers, 16 reads" in text
    assert "sectors per 32 numbers of a load: 4.00, at best 4" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("layout", "one number"), ("layout", "32 numbers"), ("block_c", 16), ("whole_row", False)]
    + [("itemsize", 2), ("channels", 64), ("size", 14), ("sampling_ratio", 3), ("count", 100)],
)
def test_it_follows_every_control(name, value):
    explorer = explore_kernel_traffic()
    png, text = explorer.png, explorer.text
    explorer.controls[name].value = value
    assert explorer.png != png and explorer.text != text
    assert getattr(explorer.state, name) == value


def test_what_the_notebook_asks_the_reader_to_find():
    def asked(**settings):
        text = explore_kernel_traffic(**settings).text
        numbers = re.search(r"asked for:  map ([\d.]+) MB, boxes ([\d.]+)", text).groups()
        moved = re.search(r"moved:      map ([\d.]+)", text)[1]
        sectors = re.search(r"of a load: ([\d.]+)", text)[1]
        return [float(n) for n in (*numbers, moved, sectors)]

    base, bf16 = asked(), asked(itemsize=2)
    small = asked(itemsize=2, block_c=8)
    assert small[3] == 2 * bf16[3] and small[0] == pytest.approx(2 * bf16[0], abs=0.2)
    bins = asked(whole_row=False)
    assert bins[1] > base[1] and (bins[0], bins[2]) == (base[0], base[2])
    low, high = asked(sampling_ratio=1), asked(sampling_ratio=3)
    assert high[0] == pytest.approx(9 * low[0], rel=1e-3) and 1.3 < high[2] / low[2] < 1.7
    assert asked(layout="32 numbers", size=14)[3] < asked(layout="32 numbers")[3]


def test_shown_as_one_bundle_with_labels():
    check_bundle(explore_kernel_traffic)
