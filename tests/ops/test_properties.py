"""Properties of the operations outside RoI pooling, NMS and boxes, which have theirs beside them.

Together at least 14 properties with 500 derandomised cases each: the last test counts them.
"""

import ast
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_lite.datasets.masks import mask_boxes
from mrcnn_lite.datasets.shapes import Shapes
from mrcnn_lite.models.anchors import AnchorGenerator
from mrcnn_lite.models.losses import box_loss, class_loss, mask_loss, objectness_loss
from mrcnn_lite.models.matching import match
from mrcnn_lite.ops import box_iou, crop_masks, multiscale_roi_align, paste_masks

often = settings(deadline=None, derandomize=True)
seeds = st.integers(0, 100_000)
SHAPES = Shapes(None, seed=7, size=64)


def boxes_of(generator: torch.Generator, *shape: int, size: float = 64) -> torch.Tensor:
    """Random proper boxes: Tensor[*shape, 4]."""
    corner = torch.rand(*shape, 2, generator=generator) * size
    return torch.cat([corner, corner + 1 + torch.rand(*shape, 2, generator=generator) * size], -1)


@often
@given(seed=seeds, objects=st.integers(1, 5), count=st.integers(1, 40), low=st.booleans())
def test_every_box_gets_exactly_one_label(seed, objects, count, low):
    """Positive from .7 on, background below .3, ignored between; low-quality matches positive."""
    generator = torch.Generator().manual_seed(seed)
    gt, boxes = boxes_of(generator, 1, objects), boxes_of(generator, count)
    matched, labels = match(gt, torch.ones(1, objects, dtype=torch.bool), boxes, 0.7, 0.3, low)
    iou = box_iou(gt[0], boxes)  # [G, A]
    best = iou.amax(0)
    low_quality = ((iou == iou.amax(1, keepdim=True)) & (iou > 0)).any(0) & low
    assert torch.equal(labels[0] == 1, (best >= 0.7) | low_quality)
    assert torch.equal(labels[0] == 0, (best < 0.3) & ~low_quality)
    assert torch.equal(iou.gather(0, matched)[0], best)


@often
@given(
    sides=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4),
    ratios=st.sampled_from([(1.0,), (0.5, 1.0, 2.0)]),
    sizes=st.integers(1, 3),
)
def test_anchors_are_counted_by_the_cells(sides, ratios, sizes):
    generator = AnchorGenerator((tuple(range(16, 16 + sizes)),) * len(sides), ratios)
    maps = [torch.zeros(1, 1, h, w) for h, w in sides]
    anchors = generator(maps, (sides[0][0] * 4, sides[0][1] * 4))
    assert anchors.shape == (sum(h * w for h, w in sides) * len(ratios) * sizes, 4)
    assert (anchors[:, 2:] > anchors[:, :2]).all()


@often
@given(seed=seeds)
def test_a_mask_survives_cropping_and_pasting(seed):
    """Drawn shapes of at least 16 pixels, 28 x 28 cells, a loose fractional box, exact rules."""
    _, target = SHAPES[seed]
    extent = target["boxes"][:, 2:] - target["boxes"][:, :2]
    kept = extent.amin(1) >= 16
    masks, boxes = target["masks"][kept], target["boxes"][kept]
    loose = torch.rand(len(boxes), 4, generator=torch.Generator().manual_seed(seed))
    boxes = boxes + loose * torch.tensor([-2.0, -2, 2, 2])
    cells = crop_masks(masks, boxes, torch.arange(len(masks)), 28, aligned=True)
    again = paste_masks(cells, boxes, (64, 64), rule="pixel_centres", threshold=0.5)
    both, either = (masks.bool() & again).sum((1, 2)), (masks.bool() | again).sum((1, 2))
    assert (both >= 0.94 * either).all()


@often
@given(seed=seeds, height=st.integers(1, 12), width=st.integers(1, 12), share=st.floats(0.02, 0.9))
def test_the_box_of_a_mask_holds_it_and_no_more(seed, height, width, share):
    mask = np.random.default_rng(seed).random((1, height, width)) < share
    x1, y1, x2, y2 = mask_boxes(mask)[0].astype(int)
    if not mask.any():
        assert (x1, y1, x2, y2) == (0, 0, 0, 0)
        return
    assert mask[0, y1:y2, x1:x2].sum() == mask.sum()
    for side in (mask[0, y1], mask[0, y2 - 1], mask[0, :, x1], mask[0, :, x2 - 1]):
        assert side.any()


@often
@given(seed=seeds, count=st.integers(0, 12), scale=st.sampled_from([0.1, 1.0, 30.0, 1e4]))
def test_losses_are_finite_and_not_negative(seed, count, scale):
    """Whatever the logits, also without a single valid row; the gradients are finite too."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (1, count), generator=g)
    valid = torch.rand(1, count, generator=g) > 0.3

    def numbers(*shape: int) -> torch.Tensor:
        return (torch.randn(*shape, generator=g) * scale).requires_grad_()

    inputs = [numbers(1, count), numbers(1, count, 4), numbers(1, count, 4, 4)]
    masks = numbers(count, 4, 6, 6)
    wanted = torch.rand(count, 6, 6, generator=g)
    losses = [
        objectness_loss(inputs[0], labels > 0, valid),
        class_loss(inputs[1], labels, valid),
        box_loss(inputs[2], torch.randn(1, count, 4, generator=g), labels, valid),
        mask_loss(masks, wanted, labels[0], valid[0] & (labels[0] > 0)),
    ]
    sum(losses).backward()
    assert all(loss.isfinite() and loss >= 0 for loss in losses)
    assert all(leaf.grad.isfinite().all() for leaf in [*inputs, masks])


@often
@given(seed=seeds, count=st.integers(1, 12), ratio=st.integers(0, 3))
def test_a_pyramid_pools_each_box_for_itself(seed, count, ratio):
    """Another order of the boxes, or other boxes beside them, change nothing."""
    g = torch.Generator().manual_seed(seed)
    maps = [torch.randn(1, 2, 32 >> k, 32 >> k, generator=g) for k in range(3)]
    boxes = boxes_of(g, count)

    def pool(rows: torch.Tensor) -> torch.Tensor:
        return multiscale_roi_align(
            maps, [boxes[rows]], (128, 128), 2, ratio, aligned=False, canonical_scale=40
        )

    order = torch.randperm(count, generator=g)
    whole = pool(torch.arange(count))
    torch.testing.assert_close(pool(order), whole[order], rtol=0, atol=1e-6)
    torch.testing.assert_close(pool(order[:1]), whole[order[:1]], rtol=0, atol=1e-6)


def test_there_are_at_least_14_properties_of_500_cases(pytestconfig):
    """In the files of the operations; 500 each with --all, see conftest.py."""
    names = []
    for path in Path(__file__).parents[1].rglob("test_*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for node in (n for n in tree.body if isinstance(n, ast.FunctionDef)):
            text = [ast.unparse(d) for d in node.decorator_list]
            if any(t.startswith("given(") for t in text) and any(
                t == "often" or "derandomize=True" in t for t in text
            ):
                names.append(node.name)
    assert settings(often).max_examples == (500 if pytestconfig.getoption("--all") else 100)
    assert len(names) >= 14, names
