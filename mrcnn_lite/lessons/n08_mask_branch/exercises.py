"""Exercise of notebook 08: build the mask branch, for masks of 14, 28 or 56 cells."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..kit.exercise import Exercise, Mistake, Verdict, is_stub, not_yet

POOLED = 14
CONVS = 4
WEIGHTINGS = 4  # one set of random weights could give positive logits by chance
CASES = ((6, 3, 28), (6, 3, 56), (4, 1, 14), (8, 2, 28))  # channels, num_classes, mask_size


def expected_weights(channels: int, num_classes: int, mask_size: int, **other: int) -> int:
    """Weights and biases of a branch; `other` counts a branch with one thing wrong."""
    square = channels * channels
    deconvs = other.get("deconvs", {14: 0, 28: 1, 56: 2}[mask_size])
    convs = other.get("convs", CONVS) * (9 * square + channels)
    upsampling = deconvs * (other.get("kernel", 2) ** 2 * square + channels)
    return convs + upsampling + (other.get("logits_kernel", 1) ** 2 * channels + 1) * num_classes


KERNEL = "the deconvolutions have kernel {}. The paper's have kernel 2 and stride 2."
NO_WEIGHTS = "the resolution is doubled without weights. Use nn.ConvTranspose2d."
LAST_KERNEL = "the last convolution has kernel 3. The logits come from a 1x1 one."
COUNT = "there are {} convolutions of 3x3. The branch has four."
MISCOUNTS = (
    (KERNEL.format(4), {"kernel": 4}),
    (KERNEL.format(3), {"kernel": 3}),
    (NO_WEIGHTS, {"deconvs": 0}),
    (LAST_KERNEL, {"logits_kernel": 3}),
    *((COUNT.format(n), {"convs": n}) for n in (0, 1, 2, 3, 5, 6)),
)

NO_PADDING = "a 3x3 convolution without padding=1 loses a cell on each side."
DECONVOLUTIONS = "one deconvolution too many or too few; each doubles the cells."
CHANNELS = "the last layer needs one channel per class."
SIGMOID = "a sigmoid at the end. The loss wants logits."
LAST_RELU = "a ReLU at the end. Logits may have either sign."
NO_RELU = "there is no ReLU, so all layers are as one."
BARE = "all is right but the ReLU: there is none behind each {}."


def grade(build: Any) -> Verdict:
    """Judge `build(channels, num_classes, mask_size) -> nn.Module`; never raises because of it."""
    if build is None:
        return not_yet("the function")
    if isinstance(build, nn.Module) or not callable(build):
        return Verdict(False, "Hand over the function itself, without calling it.")
    for case in CASES:
        words = _fault(build, case)
        if words == "":
            return not_yet("the function")
        if words is not None:
            channels, num_classes, size = case
            what = f"{channels} channels, {num_classes} classes, mask size {size}"
            return Verdict(False, f"Not right yet, for {what}:\n{words}")
    praise = "shapes, weights and logits are right for masks of 14, 28 and 56 cells."
    return Verdict(True, f"Passed: {praise}")


def _fault(build: Callable[..., Any], case: tuple[int, int, int]) -> str | None:
    """What is wrong with the branch for one case; "" for an empty function, None for nothing."""
    channels, num_classes, size = case
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, channels, POOLED, POOLED, generator=generator)  # [K, C, P, P]
    try:
        branch = build(*case)
        if branch is None:
            return ""
        if not isinstance(branch, nn.Module):
            return f"your function returned a {type(branch).__name__}, not an nn.Module."
        out, bend = _answers(branch.eval(), x, generator)
    except Exception as error:
        if is_stub(error):
            return ""
        return f"your code raised {type(error).__name__}: {error}"
    return (
        _wrong_shape(out[0] if isinstance(out, Tensor) else out, (5, num_classes, size, size))
        or _wrong_count(sum(p.numel() for p in branch.parameters()), case)
        or _wrong_values(out, bend)
        or _wrong_relus(branch, x, generator, case)
    )


@torch.no_grad()
def _answers(branch: nn.Module, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logits for several sets of random weights, and how far the branch is from a straight line."""
    outs, bends = [branch(x)], [torch.zeros(1)]
    for _ in range(WEIGHTINGS if isinstance(outs[0], Tensor) else 0):
        for weight in branch.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
        outs.append(branch(x))
        bend = outs[-1] + branch(-x) - 2 * branch(0 * x)
        bends.append(bend.abs().max()[None] / outs[-1].abs().max().clamp(min=1e-12))
    return outs[0] if len(outs) == 1 else torch.stack(outs), torch.cat(bends)


def _wrong_shape(out: Any, wanted: tuple[int, ...]) -> str | None:
    if isinstance(out, Tensor) and tuple(out.shape) == wanted:
        return None
    if not isinstance(out, Tensor):
        return f"the branch returned a {type(out).__name__}, not a tensor."
    words = f"the output has shape {list(out.shape)}, it should have {list(wanted)}."
    if out.ndim != 4:
        return words
    if out.shape[-1] != wanted[-1] and out.shape[-1] % 7:
        return f"{words}\nLikely: {NO_PADDING}"
    if out.shape[-1] != wanted[-1]:
        return f"{words}\nLikely: {DECONVOLUTIONS}"
    return f"{words}\nLikely: {CHANNELS}"


def _wrong_count(count: int, case: tuple[int, int, int]) -> str | None:
    right = expected_weights(*case)
    if count == right:
        return None
    words = f"the branch has {count} weights, it should have {right}."
    for mistake, other in MISCOUNTS:
        if count == expected_weights(*case, **other):
            return f"{words}\nLikely: {mistake}"
    return words


def _wrong_values(out: Tensor, bend: Tensor) -> str | None:
    out = out[1:]
    if out.min() >= 0 and out.max() <= 1:
        return f"all outputs lie in 0..1.\nLikely: {SIGMOID}"
    if out.min() >= 0:
        return f"no output is negative.\nLikely: {LAST_RELU}"
    if bend.max() < 1e-3:
        return f"f(x) + f(-x) = 2 f(0) holds.\nLikely: {NO_RELU}"
    return None


@torch.no_grad()
def _wrong_relus(
    branch: nn.Module, x: Tensor, generator: torch.Generator, case: tuple
) -> str | None:
    """Compare with the right branch, all layers of one kind having the same weights.

    So it does not matter in which order the layers were made, only in which they are used.
    """
    channels, num_classes, size = case
    shapes = [(channels, channels, n, n) for n in (3, 2)]
    shapes += [(channels,), (num_classes, channels, 1, 1), (num_classes,)]
    weights = {shape: torch.randn(shape, generator=generator) / channels for shape in shapes}
    for weight in branch.parameters():
        if tuple(weight.shape) not in weights:
            return None  # built from other parts; their number is right
        weight.copy_(weights[tuple(weight.shape)])
    out = branch(x)  # [K, C, M, M]
    for after_conv, after_deconv in ((True, True), (True, False), (False, True)):
        conv, deconv, bias, last, last_bias = weights.values()
        right = x  # [K, C, P, P]
        for _ in range(CONVS):
            right = F.conv2d(right, conv, bias, padding=1)
            right = right.relu() if after_conv else right
        while right.shape[-1] < size:
            right = F.conv_transpose2d(right, deconv, bias, stride=2)  # [K, C, 2P, 2P]
            right = right.relu() if after_deconv else right
        if torch.allclose(out, F.conv2d(right, last, last_bias), rtol=1e-3, atol=1e-4):
            where = "deconvolution" if after_conv else "3x3 convolution"
            return None if after_conv and after_deconv else BARE.format(where)
    return "the logits are others.\nLikely: a ReLU is missing, or the layers are in another order."


def _branch(channels: int, num_classes: int, mask_size: int, **wrong: Any) -> nn.Sequential:
    """The right branch; each of `wrong` changes one thing in it."""
    act = nn.Identity if "linear" in wrong else nn.ReLU
    kernel, bare = wrong.get("kernel", 2), wrong.get("bare")
    fit = {"padding": (kernel - 1) // 2, "output_padding": kernel % 2}  # so that cells double
    layers, cells = [], POOLED
    for _ in range(wrong.get("convs", CONVS)):
        layers += [nn.Conv2d(channels, channels, 3, padding=wrong.get("padding", 1))]
        layers += [] if bare == "3x3 convolution" else [act()]
    while cells < mask_size * wrong.get("enlarged", 1):
        up = nn.ConvTranspose2d(channels, channels, kernel, stride=2, **fit)
        layers += [nn.Upsample(scale_factor=2) if "upsample" in wrong else up]
        layers += [] if bare == "deconvolution" else [act()]
        cells *= 2
    last = wrong.get("last", 1)
    layers += [nn.Conv2d(channels, num_classes + wrong.get("extra", 0), last, padding=last // 2)]
    return nn.Sequential(*layers, *wrong.get("end", ()))


MISTAKES = tuple(
    Mistake(words, partial(_branch, **wrong))
    for words, wrong in (
        (KERNEL.format(4), {"kernel": 4}),
        (KERNEL.format(3), {"kernel": 3}),
        (NO_WEIGHTS, {"upsample": True}),
        (LAST_KERNEL, {"last": 3}),
        (COUNT.format(3), {"convs": 3}),
        (COUNT.format(5), {"convs": 5}),
        (NO_PADDING, {"padding": 0}),
        (DECONVOLUTIONS, {"enlarged": 2}),
        (CHANNELS, {"extra": 1}),
        (SIGMOID, {"end": [nn.Sigmoid()]}),
        (LAST_RELU, {"end": [nn.ReLU()]}),
        (NO_RELU, {"linear": True}),
        (BARE.format("3x3 convolution"), {"bare": "3x3 convolution"}),
        (BARE.format("deconvolution"), {"bare": "deconvolution"}),
    )
)


EXERCISES = (
    Exercise(
        "08-mask-head",
        grade,
        (
            "Keep a list of layers: four times (conv, ReLU), then (deconv, ReLU) until the cells "
            "suffice, then the logits; nn.Sequential(*layers) makes it one module.",
            "A 3x3 convolution keeps 14 cells with padding=1; "
            "nn.ConvTranspose2d(c, c, 2, stride=2) makes 28 of them.",
            "How many deconvolutions? 14 needs none, 28 one, 56 two: a while loop that doubles "
            "`cells` until it is mask_size says it without a table.",
        ),
        MISTAKES,
    ),
)
