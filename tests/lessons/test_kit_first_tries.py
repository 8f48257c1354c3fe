"""First tries at exercises, written from their text alone, without a look at the known mistakes.

Each is either named or answered with the smallest case that fails, expected and found.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mrcnn_lite import ops
from mrcnn_lite.lessons.kit.exercise import find


def sample_unclamped(values, x, stride, aligned):
    at = x / stride - (0.5 if aligned else 0)
    low = min(int(at), len(values) - 1)
    part = at - low
    return (1 - part) * values[low] + part * values[min(low + 1, len(values) - 1)]


def half_open_voc(boxes, form):
    boxes = boxes.clone()
    boxes[:, 2:] += {"coco": boxes[:, :2], "inclusive": 1, "voc": 0}[form]
    return boxes - (form == "voc") * 1


def crop_whole_step(first, last, size, ratio):
    step = (last - first) / (size * ratio)
    return first + step, last - step


def matrix_clamped_only(start, length, size, ratio, n):
    at = start + (torch.arange(size * ratio) + 0.5) / (size * ratio) * length
    at = at.clamp(0, n - 1)
    return (1 - (at[:, None] - torch.arange(n)).abs()).clamp(min=0).view(size, ratio, n).mean(1)


def level_without_four(boxes, k_min, k_max):
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return torch.floor(torch.log2(area.sqrt() / 224)).clamp(k_min, k_max)


def pyramid_joined(features, boxes, size, strides):
    side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    low, high = math.log2(strides[0]), math.log2(strides[-1])
    k = torch.floor(4 + torch.log2(side / 224 + 1e-6)).clamp(low, high)
    parts = zip(features, strides)
    return torch.cat([
        ops.roi_align(f[None], [boxes[k == math.log2(s)]], size, 1 / s, 2, aligned=False)
        for f, s in parts
    ])  # fmt: skip


def box_loss_default_mean(deltas, targets, labels):
    positive = labels > 0
    if not positive.any():
        return deltas.sum() * 0
    own = deltas[positive, labels[positive]]
    return F.smooth_l1_loss(own, targets[positive], beta=1 / 9)


def paste_resized(mask, box, image_size):
    x1, y1, x2, y2 = (int(v) for v in box.round())
    image = torch.zeros(image_size)
    image[y1:y2, x1:x2] = F.interpolate(mask[None, None], (y2 - y1, x2 - x1), mode="bilinear")[0, 0]
    return image


def flip_not_swapped(image, target):
    boxes = target["boxes"].clone()
    boxes[:, [0, 2]] = image.shape[-1] - boxes[:, [0, 2]]
    return image.flip(-1), {**target, "boxes": boxes, "masks": target["masks"].flip(-1)}


def bootstrap_isin(first, second, image, seeds, images):
    means = [
        (second - first)[s][:, np.isin(image, i)].mean() for s, i in zip(seeds, images, strict=True)
    ]
    return np.quantile(means, 0.025), np.quantile(means, 0.975)


def verdict_of_zero_alone(low, high, margin, hypothesis, finished, planned):
    if low > 0:
        return "reproduced"
    if high < 0:
        return "reversed"
    inside = -margin < low and high < margin
    return "no difference at this scale" if inside else "undecided"


def block_nchw(image, y, x, block, BLOCK_C, h, w, channels):
    c = block * BLOCK_C + torch.arange(BLOCK_C)
    return ((image * channels + c) * h + y) * w + x, c < channels


def touched_by_area(box, size, ratio, h, w):
    x1, y1, x2, y2 = box.tolist()
    return (int(x2) + 2 - int(x1)) * (int(y2) + 2 - int(y1))


def mean_of_masked(loss, labels):
    return loss[labels > 0].mean()


TRIES = {
    "02-sample": (sample_unclamped, "Likely: left of the first middle"),
    "02-half-open": (half_open_voc, "Likely: voc"),
    "04-crop": (crop_whole_step, "Likely: a whole step"),
    "05-matrix": (matrix_clamped_only, "Smallest wrong case: start"),
    "06-level": (level_without_four, "Likely: the 4 is missing"),
    "06-pyramid": (pyramid_joined, "Likely: the answers stand in the order of the levels"),
    "07b-box-loss": (box_loss_default_mean, "Smallest wrong case: deltas"),
    "10-paste": (paste_resized, "Likely: "),
    "12-flip": (flip_not_swapped, "x1 and x2 have changed places"),
    "14-paired-bootstrap": (bootstrap_isin, "Likely: an image that is drawn twice"),
    "14-verdict": (verdict_of_zero_alone, "Smallest wrong case: low"),
    "16-channel-block": (block_nchw, "Likely: these are the strides of NCHW"),
    "16-touched": (touched_by_area, "Smallest wrong case: box"),
    "17-no-waits": (mean_of_masked, "Likely: the size of something depends on values"),
}


@pytest.mark.parametrize("name", TRIES)
def test_a_first_try_is_named_or_gets_the_smallest_case(name):
    function, words = TRIES[name]
    verdict = find(name).grade(function)
    assert not verdict.passed
    assert words in verdict.message, verdict.message
    if "Smallest wrong case" in verdict.message:
        assert "yours" in verdict.message and "right" in verdict.message
        assert verdict.case
