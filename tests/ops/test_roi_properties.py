"""Properties of RoIAlign and RoIPool that hold for every map and every box."""

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_lite.ops import roi_align, roi_pool

H, W = 10, 12
often = settings(deadline=None, derandomize=True)
seeds = st.integers(0, 10_000)
ratios = st.integers(0, 4)
sizes = st.integers(1, 5)
alignments = st.booleans()


@st.composite
def inside(draw, margin=1.0, shortest=1.5):
    """A box that keeps `margin` elements from the border: Tensor[1, 5]."""
    x = draw(st.floats(margin, W - 1 - margin - shortest))
    y = draw(st.floats(margin, H - 1 - margin - shortest))
    width = draw(st.floats(shortest, W - 1 - margin - x))
    height = draw(st.floats(shortest, H - 1 - margin - y))
    return torch.tensor([[0.0, x, y, x + width, y + height]], dtype=torch.float64)


@st.composite
def anywhere(draw):
    """A box that may lie outside, be empty or be reversed: Tensor[1, 5]."""
    corners = [draw(st.floats(-15, 25)) for _ in range(4)]
    return torch.tensor([[0.0, *corners]], dtype=torch.float64)


def noise(seed, channels=2):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, H, W, generator=g, dtype=torch.float64)


def align(features, box, size=3, ratio=2, aligned=True, scale=1.0):
    return roi_align(features, box, size, scale, ratio, aligned=aligned)


def close(a, b, atol=1e-11):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


@often
@given(box=inside(), size=sizes, ratio=ratios, aligned=alignments, value=st.floats(-9, 9))
def test_a_constant_map_stays_constant(box, size, ratio, aligned, value):
    out = align(torch.full((1, 1, H, W), value, dtype=torch.float64), box, size, ratio, aligned)
    close(out, torch.full_like(out, value))


@often
@given(box=anywhere(), size=sizes, ratio=st.integers(1, 4), aligned=alignments, seed=seeds)
def test_linear_in_the_map(box, size, ratio, aligned, seed):
    a, b = noise(seed), noise(seed + 1)
    whole = align(2 * a - 3 * b, box, size, ratio, aligned)
    parts = 2 * align(a, box, size, ratio, aligned) - 3 * align(b, box, size, ratio, aligned)
    close(whole, parts)


@often
@given(box=inside(), size=sizes, ratio=ratios, aligned=alignments)
def test_a_ramp_gives_its_value_at_the_bin_centre(box, size, ratio, aligned):
    """Bilinear interpolation is exact on ramps, so every number of samples gives the same."""
    y, x = torch.meshgrid(torch.arange(H).double(), torch.arange(W).double(), indexing="ij")
    out = align((3 * x - 2 * y)[None, None], box, size, ratio, aligned)[0, 0]
    _, x1, y1, x2, y2 = (box[0] - (0.5 if aligned else 0)).tolist()
    centre = (torch.arange(size).double() + 0.5) / size
    close(out, 3 * (x1 + centre * (x2 - x1)) - 2 * (y1 + centre[:, None] * (y2 - y1)))


@often
@given(box=inside(margin=2), size=sizes, ratio=ratios, aligned=alignments, seed=seeds)
def test_moves_with_the_map(box, size, ratio, aligned, seed):
    features = noise(seed)
    moved = align(
        features.roll((1, 1), (2, 3)), box + torch.tensor([0, 1, 1, 1, 1.0]), size, ratio, aligned
    )
    close(moved, align(features, box, size, ratio, aligned))


@often
@given(box=anywhere(), size=sizes, ratio=ratios, seed=seeds)
def test_turns_with_the_map(box, size, ratio, seed):
    """Mirror map and box left to right, and swap rows and columns; exact because `aligned`."""
    box[0, 3:] = torch.maximum(box[0, 3:], box[0, 1:3])  # adaptive sampling needs a proper box
    features = noise(seed)
    out = align(features, box, size, ratio)
    mirrored = box.clone()
    mirrored[0, [1, 3]] = W - box[0, [3, 1]]
    # A sample exactly at the end of the map counts, and rounding moves it: keep away from there.
    edge = torch.tensor([-0.5, H + 0.5, W + 0.5], dtype=torch.float64)
    if (box[0, 1:, None] - edge).abs().min() < 1e-9:
        return
    close(align(features.flip(3), mirrored, size, ratio).flip(3), out, 1e-9)
    close(
        align(features.transpose(2, 3), box[:, [0, 2, 1, 4, 3]], size, ratio), out.transpose(2, 3)
    )


@often
@given(box=inside(), size=sizes, ratio=ratios, aligned=alignments, seed=seeds)
def test_pixels_and_scale_are_one_number(box, size, ratio, aligned, seed):
    features, larger = noise(seed), box * torch.tensor([1, 8, 8, 8, 8.0])
    close(
        align(features, larger, size, ratio, aligned, 1 / 8),
        align(features, box, size, ratio, aligned),
    )


@often
@given(box=inside(), size=sizes, ratio=ratios, aligned=alignments, seed=seeds)
def test_outputs_stay_between_the_extremes(box, size, ratio, aligned, seed):
    features = noise(seed)
    out = align(features, box, size, ratio, aligned)
    assert out.max() <= features.max() and out.min() >= features.min()


@often
@given(box=inside(), size=sizes, ratio=ratios, aligned=alignments)
def test_gradients_add_up_to_one_per_bin(box, size, ratio, aligned):
    features = noise(0, 1).requires_grad_()
    align(features, box, size, ratio, aligned).sum().backward()
    assert features.grad.sum().item() == pytest.approx(size * size)


@often
@given(box=anywhere(), size=sizes, ratio=st.integers(1, 4), aligned=alignments, seed=seeds)
def test_equals_torchvision_everywhere(box, size, ratio, aligned, seed):
    features = noise(seed)
    expected = torchvision.ops.roi_align(features, box, size, 1.0, ratio, aligned)
    close(align(features, box, size, ratio, aligned), expected)


@often
@given(box=inside(), seed=seeds, step=st.floats(0, 1e-3))
def test_continuous_in_the_box(box, seed, step):
    features = noise(seed)
    near = align(features, box + torch.tensor([0, 1, 1, 1, 1.0]) * step)
    assert (near - align(features, box)).abs().max() <= 16 * step * features.abs().max()


@often
@given(seed=seeds, corner=st.tuples(st.integers(1, 4), st.integers(1, 3)), bins=st.integers(1, 3),
       length=st.integers(1, 2), ratio=st.integers(1, 4))  # fmt: skip
def test_the_maximum_of_a_bin_is_no_less_than_its_samples(seed, corner, bins, length, ratio):
    """Whole elements, and samples between them: RoIPool's bin covers RoIAlign's."""
    features = noise(seed)
    x, y = corner
    last = bins * length
    whole = torch.tensor([[0.0, x, y, x + last, y + last]], dtype=torch.float64)
    pooled = roi_pool(features, whole, 1)
    assert (align(features, whole, bins, ratio, aligned=False) <= pooled + 1e-12).all()


@often
@given(box=anywhere(), size=sizes, seed=seeds)
def test_roi_pool_equals_torchvision_everywhere(box, size, seed):
    features = noise(seed)
    expected = torchvision.ops.roi_pool(features, box, size)
    assert torch.equal(roi_pool(features, box, size), expected)
