"""10,000 random RoIs of every kind: each operation against plain Python floats and torchvision.

The reference below is written from the papers' definitions in float64, one number at a time, and
shares no code with the package. In float64 the three must agree to 1e-12. In float32 coordinates
round, and where an operation jumps, rounding may carry a RoI over the edge: such places are found
beforehand by float64 geometry, named in `REASONS`, and are the only ones that may differ.
"""

import math
import random
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
import torchvision
from cases import random_rois

from mrcnn_lite import ops

GROUPS, ROIS = 200, 50  # 10,000 cases
REASONS = {
    "border": "a sample within rounding of -1 or of the far end of the map: beyond it counts 0",
    "count": "an adaptive number of samples within rounding of the next whole number",
    "corner": "a corner within rounding of a half element, where RoIPool rounds up or down",
    "edge": "an edge of a RoIPool bin within rounding of a whole element",
    "level": "a size within rounding of the next level of the pyramid",
    "reversed": "torchvision: no adaptive sampling of reversed boxes; zeros in a pyramid",
}
NEAR = 1e-5  # elements; float32 moves coordinates by less
FLOAT32 = 1e-4  # what rounded coordinates may change where nothing jumps
MOST = 0.05  # share of the cases that may be near a jump


class Case(NamedTuple):
    """One call: a map, RoIs (float32 numbers in float64) and how to pool them."""

    maps: torch.Tensor
    rois: torch.Tensor
    size: int
    scale: float
    ratio: int
    aligned: bool


def make(seed: int) -> Case:
    """A random call; every ninth has boxes on a grid of half pixels, where ties are exact."""
    r = random.Random(seed)
    h, w, images = r.randint(2, 13), r.randint(2, 13), r.randint(1, 3)
    scale = r.choice([1 / 4, 1 / 8, 1 / 16, 1 / 32, 0.11])
    ratio = r.choices(range(9), weights=[6, 4, 8, 2, 2, 1, 1, 1, 1])[0]
    maps = torch.randn(images, 1, h, w, generator=torch.Generator().manual_seed(seed)).double()
    rois = random_rois(ROIS, images, (round(h / scale), round(w / scale)), seed)
    rois = (rois * 2).round() / 2 if seed % 9 == 0 else rois
    size = r.randint(1, 3) if ratio > 4 else r.randint(1, 4)
    return Case(maps, rois.float().double(), size, scale, ratio, r.random() < 0.5)


def near(value: float, jump: float) -> bool:
    """Within rounding of a jump, or on it."""
    return abs(value - jump) < NEAR


def bilinear(rows: list[list[float]], y: float, x: float) -> float:
    h, w = len(rows), len(rows[0])
    if y < -1 or y > h or x < -1 or x > w:
        return 0.0
    y, x = min(max(y, 0.0), h - 1.0), min(max(x, 0.0), w - 1.0)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
    up = rows[top][left] * (left + 1 - x) + rows[top][right] * (x - left)
    down = rows[bottom][left] * (left + 1 - x) + rows[bottom][right] * (x - left)
    return up * (top + 1 - y) + down * (y - top)


def axis_samples(low: float, high: float, case: Case, n: int) -> tuple[list[list[float]], set]:
    """Sample positions of each bin along one axis, and the jumps they are near."""
    shift = 0.5 if case.aligned else 0.0
    start, end = low * case.scale - shift, high * case.scale - shift
    length = end - start if case.aligned else max(end - start, 1.0)
    step = length / case.size
    count = case.ratio if case.ratio > 0 else math.ceil(step)
    reasons = {"count"} if case.ratio == 0 and near(step, round(step)) else set()
    bins = [
        [start + i * step + (s + 0.5) * step / count for s in range(count)]
        for i in range(case.size)
    ]
    if any(near(p, -1) or near(p, n) for samples in bins for p in samples):
        reasons.add("border")
    return bins, reasons


def align(rows: list[list[float]], box: list[float], case: Case) -> tuple[list[float], set]:
    """RoIAlign of one box: the mean of each bin, and the jumps it is near."""
    x1, y1, x2, y2 = box
    ys, reasons_y = axis_samples(y1, y2, case, len(rows))
    xs, reasons_x = axis_samples(x1, x2, case, len(rows[0]))
    out = []
    for bin_y in ys:
        for bin_x in xs:
            values = [bilinear(rows, y, x) for y in bin_y for x in bin_x]
            out.append(sum(values) / len(values) if values else 0.0)
    reasons = reasons_y | reasons_x
    if case.ratio == 0 and case.aligned and (x2 < x1 or y2 < y1):
        reasons.add("reversed")
    return out, reasons


def window(low: float, high: float, case: Case, n: int) -> tuple[list[range], set]:
    """RoIPool's elements of each bin along one axis, and the jumps they are near."""
    ends = [low * case.scale, high * case.scale]
    start, end = (int(math.copysign(math.floor(abs(v) + 0.5), v)) for v in ends)
    reasons = {"corner"} if any(near(abs(v) % 1, 0.5) for v in ends) else set()
    step = max(end - start + 1, 1) / case.size
    edges = [i * step for i in range(case.size + 1)]
    if any(0 < abs(e - round(e)) < NEAR for e in edges):
        reasons.add("edge")
    bins = [(start + math.floor(a), start + math.ceil(b)) for a, b in pairwise(edges)]
    return [range(min(max(a, 0), n), min(max(b, 0), n)) for a, b in bins], reasons


def pool(rows: list[list[float]], box: list[float], case: Case) -> tuple[list[float], set]:
    """RoIPool of one box: the maximum of each bin, and the jumps it is near."""
    x1, y1, x2, y2 = box
    ys, reasons_y = window(y1, y2, case, len(rows))
    xs, reasons_x = window(x1, x2, case, len(rows[0]))
    out = [max((rows[y][x] for y in by for x in bx), default=0.0) for by in ys for bx in xs]
    return out, reasons_y | reasons_x


def expect(one, case: Case) -> tuple[torch.Tensor, list[set]]:
    """The reference for all RoIs of a case: Tensor[K, 1, P, P] and the jumps of each."""
    rows = [m[0].tolist() for m in case.maps]
    found = [one(rows[int(image)], box, case) for image, *box in case.rois.tolist()]
    values = torch.tensor([v for v, _ in found], dtype=torch.float64)
    return values.view(-1, 1, case.size, case.size), [reasons for _, reasons in found]


def compare(cases, one, ours, theirs) -> Counter:
    """Hold both implementations to the reference; say how many RoIs differ for which reason."""
    told: Counter = Counter()
    for case in cases:
        wanted, reasons = expect(one, case)
        peer_skips = torch.tensor(["reversed" in r for r in reasons])
        error = (ours(case) - wanted).abs().flatten(1).amax(1)  # [K]
        assert error.max() <= 1e-12, f"{case}: row {int(error.argmax())}"
        known = case._replace(rois=case.rois[~peer_skips])
        if len(known.rois):
            gap = (theirs(known) - ours(known)).abs().max()
            assert gap <= 1e-12, f"{known} differs from torchvision by {gap}"
        single = case._replace(maps=case.maps.float(), rois=case.rois.float())
        error = (ours(single) - wanted).abs().flatten(1).amax(1)  # [K]
        for row in torch.nonzero(error > FLOAT32)[:, 0].tolist():
            assert reasons[row], f"row {row} of {case}: {error[row]} in float32, unexplained"
            told.update(reasons[row])
        told["near a jump"] += sum(bool(r) for r in reasons)
        told["reversed"] += int(peer_skips.sum())
        told["cases"] += len(reasons)
    return told


def ours_align(c: Case) -> torch.Tensor:
    return ops.roi_align(c.maps, c.rois, c.size, c.scale, c.ratio, aligned=c.aligned)


def peer_align(c: Case) -> torch.Tensor:
    return torchvision.ops.roi_align(c.maps, c.rois, c.size, c.scale, c.ratio, c.aligned)


def ours_pool(c: Case) -> torch.Tensor:
    return ops.roi_pool(c.maps, c.rois, c.size, c.scale)


def peer_pool(c: Case) -> torch.Tensor:
    return torchvision.ops.roi_pool(c.maps, c.rois, c.size, c.scale)


@pytest.mark.parametrize(
    ("one", "ours", "theirs"),
    [(align, ours_align, peer_align), (pool, ours_pool, peer_pool)],
    ids=["roi_align", "roi_pool"],
)
def test_ten_thousand_rois(one, ours, theirs):
    told = compare([make(seed) for seed in range(GROUPS)], one, ours, theirs)
    print({name: told[name] for name in ["cases", "near a jump", *REASONS]})
    assert told["cases"] == 10_000
    assert told["near a jump"] <= MOST * told["cases"]
    assert set(told) <= {*REASONS, "cases", "near a jump"}


PYRAMID = (2, 5)  # strides 4 to 32


def make_pyramid(seed: int) -> tuple[list[torch.Tensor], list[torch.Tensor], tuple[int, int], Case]:
    """Random levels, boxes per image from a few pixels to the whole image, and the pooling."""
    r = random.Random(seed)
    height, width, images = r.randint(1, 6) * 32, r.randint(1, 6) * 32, r.randint(1, 3)
    generator = torch.Generator().manual_seed(seed)
    maps = [
        torch.randn(images, 1, height >> k, width >> k, generator=generator).double()
        for k in range(PYRAMID[0], PYRAMID[1] + 1)
    ]
    rois = random_rois(ROIS, images, (height, width), seed).float().double()
    rois[4::17, [1, 3]] = rois[4::17, [3, 1]]  # reversed along one axis only: a negative area
    rois = rois[rois[:, 0].sort(stable=True).indices]
    boxes = [rois[rois[:, 0] == image, 1:] for image in range(images)]
    case = Case(maps[0], rois, r.randint(1, 4), 0.0, r.choice([0, 1, 2, 2, 3]), False)
    return maps, boxes, (height, width), case


def expect_pyramid(maps: list[torch.Tensor], case: Case, canonical: int) -> tuple:
    """The reference of a pyramid: FPN's equation 1, then RoIAlign on that level."""
    rows = [[m[0].tolist() for m in level] for level in maps]
    values, reasons = [], []
    for image, *box in case.rois.tolist():
        area = (box[2] - box[0]) * (box[3] - box[1])
        level = 4 + math.log2(math.sqrt(area) / canonical) + 1e-6 if area > 0 else -math.inf
        k = min(max(math.floor(level) if area > 0 else 0, PYRAMID[0]), PYRAMID[1])
        found, why = align(rows[k - PYRAMID[0]][int(image)], box, case._replace(scale=2.0**-k))
        why |= {"level"} if area > 0 and near(level, round(level)) else set()
        # torchvision takes no level at all for the square root of a negative number.
        why |= {"reversed"} if area < 0 else set()
        values.append(found)
        reasons.append(why)
    values = torch.tensor(values, dtype=torch.float64).view(-1, 1, case.size, case.size)
    return values, reasons


def test_ten_thousand_rois_of_pyramids():
    told: Counter = Counter()
    for seed in range(GROUPS):
        maps, boxes, size, case = make_pyramid(seed)
        canonical = 48 if seed % 2 else 224  # small images reach the coarse levels with 48
        arguments = {"output_size": case.size, "sampling_ratio": case.ratio, "aligned": False,
                     "canonical_scale": canonical}  # fmt: skip
        wanted, reasons = expect_pyramid(maps, case, canonical)
        found = ops.multiscale_roi_align(maps, boxes, size, **arguments)
        assert (found - wanted).abs().max() <= 1e-12, f"seed {seed}"
        names = [str(level) for level in range(len(maps))]
        peer = torchvision.ops.MultiScaleRoIAlign(
            names, case.size, case.ratio, canonical_scale=canonical
        )
        theirs = peer(dict(zip(names, maps)), boxes, [size] * len(boxes))
        skip = torch.tensor(["reversed" in why for why in reasons])
        assert (theirs - found)[~skip].abs().max() <= 1e-12, f"seed {seed}"
        assert (theirs[skip] == 0).all()
        single = ops.multiscale_roi_align(
            [m.float() for m in maps], [b.float() for b in boxes], size, **arguments
        )
        error = (single - wanted).abs().flatten(1).amax(1)  # [K]
        for row in torch.nonzero(error > FLOAT32)[:, 0].tolist():
            assert reasons[row], f"seed {seed}, row {row}: {error[row]} in float32, unexplained"
            told.update(reasons[row])
        told["near a jump"] += sum(bool(why) for why in reasons)
        told["reversed"] += int(skip.sum())
        told["cases"] += len(reasons)
    print({name: told[name] for name in ["cases", "near a jump", *REASONS]})
    assert told["cases"] == 10_000
    assert set(told) <= {*REASONS, "cases", "near a jump"}
