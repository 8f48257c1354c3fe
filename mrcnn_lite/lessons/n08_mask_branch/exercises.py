"""Exercise of notebook 08: build the mask branch, for masks of 14, 28 or 56 cells."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..kit.exercise import Exercise, FaultGrader, Mistake

POOLED = 14
CONVS = 4
WEIGHTINGS = 4  # one set of random weights could give positive logits by chance
CASES = ((6, 3, 28), (6, 3, 56), (4, 1, 14), (8, 2, 28))  # channels, num_classes, mask_size

COUNT = "3x3 convolutions: there should be four, not {}."
SHARED = "the same convolution is used four times: [conv, relu] * 4 makes one set of weights."
NO_PADDING = "a 3x3 convolution without padding=1 loses a cell on each side."
DECONVOLUTIONS = "one deconvolution too many or too few; each doubles the cells."
CHANNELS = "the last layer needs one channel per class."
SIGMOID = "a sigmoid at the end. The loss wants logits."
LAST_RELU = "a ReLU at the end. Logits may have either sign."
NO_RELU = "there is no ReLU, so all layers are as one."
BARE = "all is right but the ReLU: there is none behind each {}."
UPSAMPLE = "the resolution is doubled by nn.Upsample{}. Use nn.ConvTranspose2d(c, c, 2, stride=2)."
# What is wrong, and the switch of `_branch` that makes it so.
KNOWN: dict[str, dict[str, Any]] = {
    "the deconvolutions have kernel 4. The paper's have kernel 2 and stride 2.": {"kernel": 4},
    "the deconvolutions have kernel 3. The paper's have kernel 2 and stride 2.": {"kernel": 3},
    UPSAMPLE.format(", which has no weights"): {"up": 0},
    UPSAMPLE.format(" and a 1x1 convolution"): {"up": 1},
    UPSAMPLE.format(" and a 3x3 convolution"): {"up": 3},
    "a single deconvolution reaches the mask size at once. Two double the cells twice.": {
        "jump": True
    },
    "the deconvolution gives the logits itself. It keeps the channels; a 1x1 convolution behind it "
    "makes the classes.": {"direct": True},
    "the last convolution has kernel 3. The logits come from a 1x1 one.": {"last": 3},
    **{COUNT.format(n): {"convs": n} for n in (3, 5)},
    SHARED: {"shared": True},
    "the convolutions have no biases. The paper's have them.": {"bias": False},
    "there are norms. The paper's branch has none.": {"norm": nn.BatchNorm2d},
    NO_PADDING: {"padding": 0},
    DECONVOLUTIONS: {"enlarged": 2},
    CHANNELS: {"extra": 1},
    SIGMOID: {"end": [nn.Sigmoid()]},
    LAST_RELU: {"end": [nn.ReLU()]},
    NO_RELU: {"act": nn.Identity},
    **{BARE.format(layer): {"bare": layer} for layer in ("3x3 convolution", "deconvolution")},
}


def _branch(channels: int, num_classes: int, mask_size: int, **wrong: Any) -> nn.Sequential:
    """The right branch; each of `wrong` changes one thing in it."""
    act, bare, bias = wrong.get("act", nn.ReLU), wrong.get("bare"), wrong.get("bias", True)
    padding, cells, layers = wrong.get("padding", 1), POOLED, []
    for i in range(wrong.get("convs", CONVS)):
        conv = nn.Conv2d(channels, channels, 3, padding=padding, bias=bias)
        layers.append(layers[0] if i and "shared" in wrong else conv)
        layers += [wrong["norm"](channels)] if "norm" in wrong else []
        layers += [] if bare == "3x3 convolution" else [act()]
    while cells < mask_size * wrong.get("enlarged", 1):
        factor = mask_size // cells if "jump" in wrong else 2
        last = "direct" in wrong and cells * factor == mask_size
        layers += _doubled(channels, num_classes if last else channels, factor, wrong)
        layers += [] if last or bare == "deconvolution" else [act()]
        cells *= factor
    last, out = wrong.get("last", 1), num_classes + wrong.get("extra", 0)
    if "direct" not in wrong or mask_size == POOLED:
        layers += [nn.Conv2d(channels, out, last, padding=last // 2)]
    return nn.Sequential(*layers, *wrong.get("end", ()))


def _doubled(channels: int, out: int, factor: int, wrong: dict[str, Any]) -> list[nn.Module]:
    """What doubles the cells: a deconvolution, or what people take for one."""
    if "up" in wrong:
        size = wrong["up"]
        conv = [nn.Conv2d(channels, out, size, padding=size // 2)] if size else []
        return [nn.Upsample(scale_factor=2), *conv]
    kernel = wrong.get("kernel", factor)
    fit = {"padding": (kernel - factor + 1) // 2, "output_padding": (kernel - factor) % 2}
    return [nn.ConvTranspose2d(channels, out, kernel, stride=factor, **fit)]


def _hollow(case: tuple[int, int, int], **wrong: Any) -> nn.Sequential:
    """`_branch` without values in its weights, so that no random number is drawn."""
    with torch.device("meta"):
        return _branch(*case, **wrong)


def _count(branch: nn.Module) -> int:
    return sum(weight.numel() for weight in branch.parameters())


def _fault(build: Callable[..., Any], channels: int, num_classes: int, size: int) -> str | None:
    """What is wrong with the branch for one case; None for nothing."""
    case = (channels, num_classes, size)
    if isinstance(build, nn.Module):
        return "hand over the function itself, without calling it."
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, channels, POOLED, POOLED, generator=generator)  # [K, C, P, P]
    branch = build(*case)
    if branch is None:
        raise NotImplementedError
    if not isinstance(branch, nn.Module):
        return f"your function returned a {type(branch).__name__}, not an nn.Module."
    with torch.no_grad():
        return (
            _wrong_shape(branch.eval()(x), (5, num_classes, size, size))
            or _wrong_count(branch, x, case)
            or _wrong_values(branch, x, generator)
            or _wrong_relus(branch, x, generator, case)
        )


def _wrong_shape(out: Any, right: tuple[int, ...]) -> str | None:
    if not isinstance(out, Tensor):
        return f"the branch returned a {type(out).__name__}, not a tensor."
    if tuple(out.shape) == right:
        return None
    message = f"the output has shape {list(out.shape)}, it should have {list(right)}."
    if out.ndim != 4:
        return message
    likely = DECONVOLUTIONS
    if out.shape[-1] == right[-1]:
        likely = CHANNELS
    elif out.shape[-1] % 7:
        likely = NO_PADDING
    return f"{message}\nLikely: {likely}"


def _wrong_count(branch: nn.Module, x: Tensor, case: tuple[int, int, int]) -> str | None:
    count, right = _count(branch), _count(_hollow(case))
    if count == right:
        return None
    message = f"the branch has {count} weights, it should have {right}."
    more = {COUNT.format(n): {"convs": n} for n in (0, 1, 2, 6)}
    every = {mistake: _hollow(case, **wrong) for mistake, wrong in {**KNOWN, **more}.items()}
    alike = [mistake for mistake, other in every.items() if _count(other) == count]
    calls = _calls(branch, x)  # two mistakes may have as many weights, in other layers
    exact = [mistake for mistake in alike if _calls(every[mistake], x.to("meta")) == calls]
    return f"{message}\nLikely: {(exact or alike)[0]}" if alike else message


def _calls(branch: nn.Module, x: Tensor) -> Counter[type]:
    """How often convolutions and deconvolutions are used."""
    calls: Counter[type] = Counter()
    layers = {m for m in branch.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}
    hooks = [m.register_forward_hook(lambda m, x, y: calls.update([type(m)])) for m in layers]
    branch(x)
    for hook in hooks:
        hook.remove()
    return calls


def _wrong_values(branch: nn.Module, x: Tensor, generator: torch.Generator) -> str | None:
    """Look at the logits for several sets of random weights, and how far from linear they are."""
    outs, bends = [], []
    for _ in range(WEIGHTINGS):
        for weight in branch.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
        outs.append(branch(x))  # [K, C, M, M]
        bend = outs[-1] + branch(-x) - 2 * branch(0 * x)
        bends.append(bend.abs().max() / outs[-1].abs().max().clamp(min=1e-12))
    out = torch.stack(outs)
    if out.min() >= 0 and out.max() <= 1:
        return f"all outputs lie in 0..1.\nLikely: {SIGMOID}"
    if out.min() >= 0:
        return f"no output is negative.\nLikely: {LAST_RELU}"
    if max(bends) < 1e-3:
        return f"f(x) + f(-x) = 2 f(0) holds.\nLikely: {NO_RELU}"
    return None


def _wrong_relus(
    branch: nn.Module, x: Tensor, generator: torch.Generator, case: tuple[int, int, int]
) -> str | None:
    """Compare with the right branch, all layers of one kind having the same weights.

    So it does not matter in which order the layers were made, only in which they are used.
    """
    weights = {
        weight.shape: torch.randn(weight.shape, generator=generator) / case[0]
        for weight in _hollow(case).parameters()
    }
    if any(weight.shape not in weights for weight in branch.parameters()):
        return None  # built from other parts; their number is right

    def logits(module: nn.Module) -> Tensor:
        for weight in module.parameters():
            weight.copy_(weights[weight.shape])
        return module(x)  # [K, C, M, M]

    out = logits(branch)
    for layer in (None, "deconvolution", "3x3 convolution"):
        right = logits(_hollow(case, bare=layer).to_empty(device="cpu"))
        if torch.allclose(out, right, rtol=1e-3, atol=1e-4):
            return layer and BARE.format(layer)
    return "the logits are others.\nLikely: a ReLU is missing, or the layers are in another order."


EXERCISES = (
    Exercise(
        "08-mask-head",
        FaultGrader(
            _fault,
            cases=lambda: CASES,
            describe=lambda c, n, m: f"{c} channels, {n} classes, mask size {m}",
            praise="shapes, weights and logits are right for masks of 14, 28 and 56 cells.",
        ),
        (
            "Keep a list of layers: four times (conv, ReLU), then (deconv, ReLU) until the cells "
            "suffice, then the logits; nn.Sequential(*layers) makes it one module.",
            "A 3x3 convolution keeps 14 cells with padding=1; "
            "nn.ConvTranspose2d(c, c, 2, stride=2) makes 28 of them.",
            "How many deconvolutions? 14 needs none, 28 one, 56 two: a while loop that doubles "
            "`cells` until it is mask_size says it without a table.",
        ),
        tuple(Mistake(message, partial(_branch, **wrong)) for message, wrong in KNOWN.items()),
    ),
)
