"""RoIAlign's kernels against `ops`: forward, backward, boxes, the operator.

Without a GPU the kernels run in Triton's interpreter; a second file compiles them for GPUs.
"""

import pytest
import torch
from cases import article_map, article_rois, random_rois
from kernel_tools import DEVICE, assert_close, kernels_run

from mrcnn_lite.kernels import levels, roi_align_backward
from mrcnn_lite.ops import assign_levels, multiscale_roi_align, roi_align, use_backend
from mrcnn_lite.ops.multiscale import multiscale_roi_align as ops_multiscale

IMAGE = (64, 96)
TYPES = [torch.float64, torch.float32]
FEWER = [pytest.param(*case, marks=pytest.mark.slow) for case in ((1, False), (2, True))]


def pyramid(dtype: torch.dtype = torch.float64, channels: int = 3, levels: int = 3) -> list:
    """Maps of an image of 64 x 96 pixels, strides 4, 8, 16."""
    g = torch.Generator().manual_seed(levels)
    sizes = [(16 // 2**l, 24 // 2**l) for l in range(levels)]
    maps = [torch.randn(2, channels, *size, generator=g, dtype=dtype) for size in sizes]
    return [m.to(DEVICE).requires_grad_() for m in maps]


def boxes(dtype: torch.dtype = torch.float64, count: int = 8) -> list:
    """RoIs of every kind, some for each of two images."""
    rois = random_rois(count, 2, IMAGE, seed=3)
    return [rois[rois[:, 0] == image, 1:].to(DEVICE, dtype).requires_grad_() for image in (0, 1)]


def both(function):
    """What the tensor form and the kernel make of the same call."""
    with use_backend("torch"):
        expected = function()
    with kernels_run():
        return function(), expected


def pool(maps, rois, samples, aligned, size=(3, 4)):
    """Small enough that all three levels are used."""
    return multiscale_roi_align(
        maps, rois, IMAGE, size, samples, aligned=aligned, canonical_scale=30
    )


def test_the_articles_numbers():
    rois = article_rois().to(DEVICE)
    with kernels_run():
        out = roi_align(article_map().to(DEVICE), rois, 2, 1 / 32, 1, aligned=False)
    expected = torch.tensor([[-0.8546, 0.3236], [0.2177, 0.0546]], device=DEVICE)
    torch.testing.assert_close(out[0, 0], expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("samples", [0, 1, 2, 3])
def test_forward(samples, aligned, dtype):
    out, expected = both(lambda: pool(pyramid(dtype), boxes(dtype), samples, aligned).detach())
    assert_close(out, expected)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 5, 64, 130])
def test_odd_numbers_of_channels(channels):
    out, expected = both(lambda: pool(pyramid(channels=channels), boxes(count=3), 1, True).detach())
    assert_close(out, expected)


@pytest.mark.parametrize("size", [1, 2, (5, 3), 7])
def test_sizes(size):
    out, expected = both(lambda: pool(pyramid(), boxes(count=3), 1, False, size).detach())
    assert_close(out, expected)


@pytest.mark.parametrize("deterministic", [False, True], ids=["atomic", "deterministic"])
@pytest.mark.parametrize(("samples", "aligned"), [(0, True), (2, False), *FEWER])
def test_backward(samples, aligned, deterministic):
    def gradients():
        maps, rois = pyramid(), boxes()
        out = pool(maps, rois, samples, aligned)
        grad = torch.arange(out.numel(), device=DEVICE, dtype=out.dtype).sin().view(out.shape)
        return torch.autograd.grad(out, [*maps, *rois], grad)

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic)
    try:
        found, expected = both(gradients)
    finally:
        torch.use_deterministic_algorithms(before)
    for a, b in zip(found, expected):
        assert_close(a, b)


@pytest.mark.parametrize("aligned", [False, True])
def test_levels_and_images_are_found_by_a_kernel(aligned, monkeypatch):
    """As many boxes in each image: two launches in all; or boxes that name their image. Sizes at
    the levels' limits, reversed boxes and NaN among them; the tensor form's results and gradients.
    """
    side = torch.tensor([15.0, 30, 59.9, 60, 61, 30, -8, 3], dtype=torch.float64, device=DEVICE)
    corner = torch.rand(2, 8, 2, dtype=torch.float64, device=DEVICE) * 9
    rois = torch.cat([corner, corner + side[:, None]], dim=2)  # [B, R, 4]
    expected = assign_levels(rois.flatten(0, 1), 2, 4, 30, 3)
    seen, usual = [], levels.roi_align_op
    monkeypatch.setattr(levels, "roi_align_op", lambda *a: seen.append(a[1]) or usual(*a))

    def gradients():
        maps, leaves = pyramid(), [one.clone().requires_grad_() for one in rois]
        settings = {"aligned": aligned, "canonical_scale": 30, "canonical_level": 3}
        out = multiscale_roi_align(maps, leaves, IMAGE, 2, 2, **settings)
        return out, *torch.autograd.grad(out.sin().sum(), [*maps, *leaves])

    found, wanted = both(gradients)
    for a, b in zip(found, wanted, strict=True):
        assert_close(a, b)
    (map_index,) = seen
    assert map_index[:, 0].tolist() == [0] * 8 + [1] * 8
    assert torch.equal(map_index[:, 1].long(), expected)
    shuffled = torch.randperm(16, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    indexed = torch.cat([map_index[:, :1].to(rois), rois.flatten(0, 1)], dim=1)  # [K, 5]
    settings = (2, 2, aligned, 30, 3)
    given, wanted = both(lambda: ops_multiscale(pyramid(), indexed[shuffled], IMAGE, *settings))
    assert_close(given.detach(), wanted.detach())
    assert_close(given.detach(), found[0][shuffled].detach())
    assert torch.equal(seen[1], map_index[shuffled])
    nan = torch.full((1, 4), torch.nan, device=DEVICE)
    assert levels.roi_levels_op(nan, 1, 4, 1.0).tolist() == [[0, 0]]


def test_a_tile_looks_at_more_rois_than_a_word_has_bits():
    """70 small RoIs, ending in the middle of a word; some tiles are reached by none."""
    feature = torch.randn(1, 1, 24, 24, device=DEVICE, dtype=torch.float64).requires_grad_()
    corner = torch.rand(70, 2, device=DEVICE, dtype=torch.float64) * 8
    rois = torch.cat([torch.zeros_like(corner[:, :1]), corner, corner + 3], dim=1)  # [K, 5]

    def gradient():
        out = roi_align(feature, rois, 1, 1.0, 1, aligned=True)
        return torch.autograd.grad(
            out, feature, torch.arange(70, device=DEVICE).to(out).view_as(out)
        )[0]

    torch.use_deterministic_algorithms(True)
    try:
        found, expected = both(gradient)
    finally:
        torch.use_deterministic_algorithms(False)
    assert_close(found, expected)
    assert not found[..., 16:, 16:].any()


def test_deterministic_mode_fills_no_memory_that_a_kernel_writes(monkeypatch):
    """Its NaN would be written over; outside of the operator the mode stays as it was."""
    seen, launch = [], roi_align_backward._launch_tiles
    mode = torch.utils.deterministic

    def watched(*arguments):
        seen.append(mode.fill_uninitialized_memory)
        launch(*arguments)

    monkeypatch.setattr(roi_align_backward, "_launch_tiles", watched)
    torch.use_deterministic_algorithms(True)
    try:
        with kernels_run():
            pool(pyramid(), boxes(count=2), 1, True).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert seen == [False]
    assert mode.fill_uninitialized_memory


def test_one_level_and_other_layouts():
    """A map that is stored channels last is read as it is, another one is copied."""
    feature, rois = pyramid(levels=1)[0].detach(), random_rois(6, 2, IMAGE, seed=5).to(DEVICE)
    feature = feature.contiguous(memory_format=torch.channels_last)
    out, expected = both(lambda: roi_align(feature, rois, 2, 1 / 4, 2, aligned=True))
    assert_close(out, expected)
    half = feature[:, :, ::2, 1:]
    out, expected = both(lambda: roi_align(half, rois, 2, 1 / 3, 2, aligned=True))
    assert_close(out, expected)


def test_no_boxes():
    none = [torch.zeros(0, 4, dtype=torch.float64, device=DEVICE)] * 2
    maps = pyramid()
    with kernels_run():
        out = pool(maps, none, 2, True)
        assert out.shape == (0, 3, 3, 4)
        out.sum().backward()
    assert all(not m.grad.any() for m in maps)


def test_too_many_levels():
    maps = [torch.zeros(1, 1, 2 ** (7 - l), 2 ** (7 - l), device=DEVICE) for l in range(6)]
    rois = [torch.tensor([[0.0, 0, 9, 9]], device=DEVICE)]
    with kernels_run(), pytest.raises(ValueError, match="6 levels; the kernels take at most 5"):
        multiscale_roi_align(maps, rois, (128, 128), 2, 2, aligned=False)


def test_the_operator_is_registered_rightly():
    """Schema, fake form, autograd and tracing, by PyTorch's own checks."""
    maps = [m.detach() for m in pyramid(channels=2, levels=2)]
    map_index = torch.tensor([[0, 0], [1, 1]], dtype=torch.int32, device=DEVICE)
    corners = torch.tensor([[3.0, 4, 30, 20], [5, 6, 40, 50]], dtype=torch.float64, device=DEVICE)
    settings = ([1 / 4, 1 / 8], [2, 3], 1, True)
    maps = [m.requires_grad_() for m in maps]
    torch.library.opcheck(
        torch.ops.mrcnn_lite.roi_align, (maps, map_index, corners.requires_grad_(), *settings)
    )


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sixteen_bits(dtype):
    """Features of 16 bits, coordinates and sums of 32: nearly as exact as float32's answer."""
    maps, rois = [m.detach() for m in pyramid(torch.float32, channels=64)], boxes(torch.float32)
    with kernels_run():
        out = pool([m.to(dtype) for m in maps], rois, 2, False)
        expected = pool([m.to(dtype).float() for m in maps], rois, 2, False)
    torch.testing.assert_close(out.float(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.gpu
def test_the_deterministic_backward_repeats_itself():
    def gradients():
        maps = [m.float().detach().requires_grad_() for m in pyramid(channels=64)]
        rois = [b.float() for b in boxes(count=400)]
        pool(maps, rois, 2, False).square().sum().backward()
        return [m.grad for m in maps]

    torch.use_deterministic_algorithms(True)
    try:
        with kernels_run():
            first, second = gradients(), gradients()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(first, second))


@pytest.mark.gpu
def test_adaptive_counts_are_exact():
    """21 elements in 7 bins are 3 samples a bin, and 3.0000002 would be 4."""
    sides = torch.arange(1.0, 60, device=DEVICE)  # of the map: scale 1
    rois = torch.stack([sides * 0, sides * 0, sides * 0, sides, sides], dim=1)
    feature = torch.randn(1, 1, 64, 64, device=DEVICE)
    out, expected = both(lambda: roi_align(feature, rois, 7, 1.0, 0, aligned=True))
    assert_close(out, expected)
