"""The exercises of notebook 07b: which anchor learns from what, and how much a box is wrong."""

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...models.losses import SMOOTH_L1_BETA, box_loss
from ...models.matching import match
from ...ops import box_iou
from ..kit.exercise import Exercise, FunctionGrader, Mistake, as_numbers, combine, same, switches

IMAGES = 60
MOST = 6  # objects of an image; the anchors are far more
FIELD = 24  # px; anchors of 8 px and of 12 x 6 px stand on a grid of 4 px
HIGH_LOW = ((0.5, 0.25), (0.7, 0.3), (0.6, 0.4), (0.5, 0.5))

# --- 07b-matcher --------------------------------------------------------------------------------


def _right_matches(objects: Tensor, anchors: Tensor, high: float, low: float) -> Tensor:
    valid = torch.ones(1, len(objects), dtype=torch.bool)
    matched, labels = match(objects[None], valid, anchors, high, low, allow_low_quality=True)
    return torch.where(labels > 0, matched, labels - 1)[0]  # [A]


@switches(
    axis=0,  # of [G, A], over which the best is taken
    positive=torch.ge,
    negative=torch.lt,
    rescues=lambda iou: iou == iou.amax(1, keepdim=True),  # [G, A]
    owner=lambda rescues, best_object: best_object,  # of a rescued anchor
    reach=0.0,  # the best IoU of an object has to be above
    ignored=-2,  # torchvision's codes
    background=-1,
    first=0,
)
def _matcher_variant(objects: Tensor, anchors: Tensor, high: float, low: float, how: Any) -> Tensor:
    """Matching, step by step."""
    iou = box_iou(objects, anchors)  # [G, A]
    if how.axis == 1:
        return iou.new_full((len(objects),), torch.nan)  # [G]: whatever it says, see _same_codes
    best, matched = iou.max(dim=0)  # [A] both
    rescues = how.rescues(iou) & (iou.amax(1, keepdim=True) > how.reach)  # [G, A]
    rescued = rescues.any(0)  # [A]
    matched = torch.where(rescued, how.owner(rescues, matched), matched)
    other = torch.where(how.negative(best, low), how.background, how.ignored)
    return torch.where(how.positive(best, high) | rescued, matched + how.first, other)  # [A]


def _same_codes(a: Any, b: Any) -> bool:
    """Whether two answers are equal; NaN for each object stands for any answer of that shape."""
    left, right = as_numbers(a), as_numbers(b)
    if left is not None and right is not None and left.isnan().all():
        return left.shape == right.shape and right.numel() <= MOST
    return same(a, b)


OWNER = (
    "a rescued anchor belongs to the object that *it* overlaps most, which may be another "
    "than the one that rescued it."
)
AXIS = (
    "there is one number per object: the maximum runs over the wrong axis. Every anchor needs its "
    "best object, so take it over dim=0 of [G, A]."
)
MATCHER_MISTAKES = {
    "the low-quality rule is missing: the anchors that overlap an object most are positive, "
    "however little that is.": {"rescues": lambda iou: iou < 0},
    "several anchors can overlap an object equally well; the low-quality rule takes all of "
    "them, not the first.": {
        "rescues": lambda iou: torch.arange(iou.shape[1]) == iou.argmax(1, keepdim=True)
    },
    OWNER: {"owner": lambda rescues, _: rescues.int().argmax(0)},
    "an object that no anchor touches has a best IoU of 0, and every far anchor equals that; "
    "the rule needs a best IoU above 0.": {"reach": -1.0},
    "an IoU of exactly `high` is positive: compare with >=.": {"positive": torch.gt},
    "an IoU of exactly `low` is not background: compare with <.": {"negative": torch.le},
    "the anchors between the thresholds are ignored, -2; they are not background.": {"ignored": -1},
    "background is -1 and ignored is -2; yours are exchanged.": {"ignored": -1, "background": -2},
    "background is -1 here; 0 is the first object.": {"background": 0},
    "objects are counted from 0 here; yours begin with 1.": {"first": 1},
    AXIS: {"axis": 1},
}
# Who loops over the objects and writes answer[iou[g].argmax()] = g makes three mistakes at once;
# then the last object that rescues an anchor keeps it.
LOOP_MISTAKES = dict(list(MATCHER_MISTAKES.items())[1:4]) | {
    OWNER: {"owner": lambda rescues, _: len(rescues) - 1 - rescues.flip(0).int().argmax(0)}
}


def _one_per_object(objects: Tensor, anchors: Tensor, high: float, low: float) -> Tensor:
    """The wrong axis, and the rescue over the right one: both shapes meet in the last line."""
    iou = box_iou(objects, anchors)  # [G, A]
    best, matched = iou.max(dim=1)  # [G] both
    answer = torch.where(best >= high, matched, torch.where(best < low, -1, -2))  # [G]
    return torch.where((iou == iou.amax(1, keepdim=True)).any(0), matched, answer)


def _left_out_loop(objects: Tensor, anchors: Tensor, high: float, low: float) -> Tensor:
    """As people write the rule: only for objects without a positive, and one anchor each."""
    best, matched = box_iou(objects, anchors).max(dim=0)  # [A] both
    answer = torch.where(best >= high, matched, torch.where(best < low, -1, -2))
    for number, iou in enumerate(box_iou(objects, anchors)):
        if not (answer == number).any():
            answer[iou.argmax()] = number
    return answer


def _images() -> Iterator[tuple[Any, ...]]:
    """Objects on half the grid's step, so that equal overlaps and exact thresholds are common."""
    draw = functools.partial(torch.randint, generator=torch.Generator().manual_seed(708))
    corner = torch.cartesian_prod(*[torch.arange(0, FIELD, 4.0)] * 2)  # [N, 2]
    sizes = torch.tensor([[8.0, 8.0], [12.0, 6.0]])
    anchors = torch.cat([torch.cat([corner, corner + size], 1) for size in sizes])  # [A, 4]
    for k in range(IMAGES):
        count = int(draw(1, 5, ()))
        corner = 2.0 * draw(0, FIELD // 2, (count, 2))  # [G, 2]
        extent = 2 * draw(1, 6, (count, 2))  # [G, 2]
        objects = torch.cat([corner, corner + extent], 1)  # [G, 4]
        if k % 3 == 1:  # crowded: two objects share their best anchor
            objects = torch.cat([objects, objects[:1] + torch.tensor([0.0, 0, 2, 4])])  # [G, 4]
        if k % 5 == 2:  # out of every anchor's reach
            objects = torch.cat([objects, torch.tensor([[90.0, 90, 98, 98]])])  # [G, 4]
        yield objects, anchors, *HIGH_LOW[k % len(HIGH_LOW)]


# --- 07b-box-loss -------------------------------------------------------------------------------


def _right_loss(deltas: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    valid = torch.ones_like(labels, dtype=torch.bool)  # [N]
    return box_loss(deltas[None], targets[None], labels[None], valid[None])


def _same_loss(a: Any, b: Any) -> bool:
    """Whether two losses are equal; what is not a number equals what is not, either."""
    numbers = as_numbers(a), as_numbers(b)
    return same(a, b) or all(it is not None and bool(it.isnan().all()) for it in numbers)


def _smooth(d: Tensor, beta: float) -> Tensor:
    return torch.where(d.abs() < beta, d * d / (2 * beta), d.abs() - beta / 2)


@switches(
    smooth=_smooth,
    beta=SMOOTH_L1_BETA,
    column=lambda deltas, labels: deltas[torch.arange(len(labels)), labels],  # [N, 4]
    rows=lambda labels: labels > 0,  # [N]
    count=lambda labels: len(labels),
    numbers=1,  # what each RoI's sum of four is divided by
)
def _loss_variant(deltas: Tensor, targets: Tensor, labels: Tensor, how: Any) -> Tensor:
    """L_box, step by step."""
    rows = how.rows(labels)  # [N]
    d = how.column(deltas, labels) - targets  # [N, 4]
    each = how.smooth(d, how.beta).sum(-1) / how.numbers  # [N], or [C, N]
    return each[..., rows].sum() / torch.tensor(how.count(labels))


BACKGROUND = "background RoIs take part; they have no box to reach."
LOSS_MISTAKES = {
    "it is divided by the number of positives; L_box divides by all sampled RoIs, and so an image "
    "without a positive gives 0.": {"count": lambda labels: int((labels > 0).sum())},
    BACKGROUND: {"rows": lambda labels: labels >= 0},
    "the parabola ends at 1, the default of F.smooth_l1_loss; here it ends at 1/9.": {"beta": 1.0},
    "this is plain L1: near 0 the loss is a parabola.": {"smooth": lambda d, beta: d.abs()},
    "this is half the square everywhere: from 1/9 on the loss is a straight line.": {
        "smooth": lambda d, beta: d * d / 2
    },
    "this is the square everywhere: from 1/9 on the loss is a straight line.": {
        "smooth": lambda d, beta: d * d
    },
    "the parabola is d * d / 2, and jumps where the line begins; divide it by beta.": {
        "smooth": lambda d, beta: torch.where(d.abs() < beta, d * d / 2, d.abs() - beta / 2)
    },
    "the line is |d| without - beta / 2, and jumps where the parabola ends.": {
        "smooth": lambda d, beta: torch.where(d.abs() < beta, d * d / (2 * beta), d.abs())
    },
    "the sign is left in: a large negative difference counts as a parabola. Compare |d|.": {
        "smooth": lambda d, beta: torch.where(d < beta, d * d / (2 * beta), d - beta / 2)
    },
    "this is the mean of the four numbers of a box; L_box takes their sum.": {"numbers": 4},
    "the column is one too low: class 0 is the background, so class c has column c.": {
        "column": lambda deltas, labels: deltas[torch.arange(len(labels)), labels - 1]
    },
    "all classes' boxes are compared; only the column of the RoI's own class counts.": {
        "column": lambda deltas, labels: deltas.transpose(0, 1)  # [C, N, 4]
    },
}


PAIRS = (
    "deltas[:, labels] pairs every RoI with every label; rows and labels go together, one by one: "
    "deltas[torch.arange(N), labels]."
)


def _all_pairs(deltas: Tensor, targets: Tensor, labels: Tensor, from_label: int = 1) -> Tensor:
    each = _smooth(deltas[:, labels] - targets, SMOOTH_L1_BETA).sum(-1)  # [N, N]
    return each[labels >= from_label].sum() / len(labels)


def _rois() -> Iterator[tuple[Any, ...]]:
    """RoIs with differences below 1/9 and above 1; in every fifth image none is positive."""
    generator = torch.Generator().manual_seed(709)
    for k in range(40):
        count, classes = 4 + k % 5, 3 + k % 3
        labels = torch.randint(0, classes, (count,), generator=generator)  # [N]
        labels = labels * (k % 5 > 0)
        targets = torch.randn(count, 4, generator=generator)  # [N, 4]
        noise = torch.randn(count, classes, 4, generator=generator)  # [N, C, 4]
        yield targets[:, None] + 0.7 * noise, targets, labels


EXERCISES = (
    Exercise(
        "07b-matcher",
        FunctionGrader(
            right=_right_matches,
            cases=_images,
            mistakes=combine(_matcher_variant, MATCHER_MISTAKES.items(), most=3)
            + combine(_matcher_variant, LOOP_MISTAKES.items(), most=3)
            + (
                Mistake(f"{AXIS} The shapes then do not go together.", _one_per_object),
                Mistake("\n   and: ".join(LOOP_MISTAKES), _left_out_loop, several=True),
            ),
            praise="{n} images agree: equal overlaps, shared anchors, objects out of reach "
            "included.",
            same=_same_codes,
        ),
        (
            "iou = ops.box_iou(objects, anchors) has shape [G, A]. The best object of every anchor "
            "is best, matched = iou.max(dim=0).",
            "Begin with `matched`, then write -2 where best < high, and after that -1 where "
            "best < low. torch.where(condition, this, that) does one such step.",
            "Low quality: iou.amax(dim=1, keepdim=True) is the best overlap of every object; "
            "iou == that, .any(dim=0), says which anchors are rescued.",
            "A rescued anchor gets matched[anchor] back. Leave out objects whose best overlap "
            "is 0.",
        ),
    ),
    Exercise(
        "07b-box-loss",
        FunctionGrader(
            right=_right_loss,
            cases=_rois,
            mistakes=(
                *combine(_loss_variant, LOSS_MISTAKES.items(), most=3),
                Mistake(PAIRS, _all_pairs),
                Mistake(
                    f"{PAIRS}\n   and: {BACKGROUND}",
                    functools.partial(_all_pairs, from_label=0),
                    several=True,
                ),
            ),
            praise="{n} images agree, those without a positive included.",
            same=_same_loss,
        ),
        (
            "rows = torch.arange(len(labels)); deltas[rows, labels] are the four numbers of each "
            "RoI's own class, [N, 4].",
            "d = their difference from `targets`; torch.where(d.abs() < 1 / 9, parabola, line).",
            "Sum over the four numbers and over the rows with labels > 0; divide by len(labels).",
        ),
    ),
)
