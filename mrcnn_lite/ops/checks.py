"""Refuse bad input with one sentence that names the argument, the row, the value and the cure.

A NaN box must never reach an index computation: torchvision's CPU RoIAlign dies on one with a
segmentation fault. On a GPU the checks of *values* are skipped, because each would make the host
wait for the device; types and shapes are checked everywhere.
"""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

Arguments, Result = ParamSpec("Arguments"), TypeVar("Result")
LONG_ROW = 8  # a longer row is not printed whole
RAISES = """
    Raises:
        TypeError, ValueError: by name, row and value, what has another type, shape or range.
    """


def checked(
    function: Callable[Arguments, Result],
    relation: Callable[..., None] | None = None,
    **rules: str | tuple[str, ...] | Callable[[Any, str], None],
) -> Callable[Arguments, Result]:
    """Put checks before a function.

    `rules` has for some arguments a tuple of the values allowed, or a function of value and name;
    for tensors a shape such as "[N, 4]" for floating point, "int64 [K]", "any [..., 4]". Tensors
    with the same letter first must have as many rows, all must be on one device, and all values
    finite; of those "where valid" only the rows that the argument `valid` marks. `relation` takes
    all arguments by name, for what concerns several of them.
    """
    signature = inspect.signature(function)
    names = tuple(signature.parameters)
    shapes = {name: rule.split(" where ") for name, rule in rules.items() if isinstance(rule, str)}
    letters = {name: shape[shape.index("[") + 1] for name, (shape, *_) in shapes.items()}
    others = {name: rule for name, rule in rules.items() if name not in shapes}

    @functools.wraps(function)
    def public(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if len(args) == len(names) and not kwargs:
            given = dict(zip(names, args, strict=True))  # what follows says, in less time
        else:
            call = signature.bind(*args, **kwargs)
            call.apply_defaults()
            given = call.arguments
        first: dict[str, tuple[str, int]] = {}
        for name, (shape, *_) in shapes.items():
            check_tensor(given[name], name, shape)
            if letters[name].isupper():
                count = given[name].shape[0]
                other, rows = first.setdefault(letters[name], (name, count))
                if count != rows:
                    raise ValueError(f"{other} has {rows} rows and {name} has {count} rows")
        check_same_device(**{name: given[name] for name in shapes})
        for name, rule in others.items():
            if isinstance(rule, tuple) and given[name] not in rule:
                raise ValueError(f"{name} must be one of {', '.join(rule)}, got {given[name]!r}")
            if callable(rule) and given[name] is not None:
                rule(given[name], name)
        if relation is not None:
            relation(**given)
        for name, (_, *valid) in shapes.items():
            check_finite(given[name], name, *(given[mask] for mask in valid))
        return function(*args, **kwargs)

    public.__doc__ = f"{(function.__doc__ or '').rstrip()}\n{RAISES}"
    return public


def check_tensor(tensor: Tensor, name: str, shape: str) -> None:
    """Check that an argument is a tensor of a shape such as "[..., 4]", of floating point unless
    another kind stands before it: "bool [B, G]", "int64 [K]", "any [..., 4]"."""
    kind, shape, count, more, fixed = _parsed(shape)
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor {shape}, got {type(tensor).__name__}")
    if not kind and not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {tensor.dtype}; call {name}.float()")
    if kind == "bool " and tensor.dtype != torch.bool:
        raise TypeError(f"{name} must be bool, got {tensor.dtype}; use {name}.bool()")
    if kind == "int64 " and tensor.dtype != torch.int64:
        raise TypeError(f"{name} must be int64, got {tensor.dtype}; call {name}.long()")
    sizes = tensor.shape
    enough = len(sizes) >= count if more else len(sizes) == count
    if not enough or any(sizes[i] != n for i, n in fixed):
        raise ValueError(f"{name} must have shape {shape}, got {list(sizes)}")


@functools.cache
def _parsed(shape: str) -> tuple[str, str, int, bool, tuple[tuple[int, int], ...]]:
    """Of "bool [..., N, 4]": "bool ", "[..., N, 4]", 2 sides, or more, and of those (-1, 4)."""
    kind, _, sides = shape.partition("[")
    named = [side for side in sides.strip("]").split(", ") if side != "..."]
    fixed = [(i - len(named), int(side)) for i, side in enumerate(named) if side.isdigit()]
    return kind, f"[{sides}", len(named), "..." in sides, tuple(fixed)


def check_finite(tensor: Tensor, name: str, valid: Tensor | None = None) -> None:
    """Check that all of a CPU tensor is finite, and name the first row that is not (of Tensor[N],
    the value). Rows that are False in `valid`, a Tensor[...], may hold anything."""
    if tensor.device.type != "cpu" or not tensor.is_floating_point():
        return
    if math.isfinite(tensor.detach().sum().item()):  # then all are; else it may be too large
        return
    bad = ~torch.isfinite(tensor)  # [..., N]
    if valid is not None:
        bad = bad & (valid if bad.dim() == valid.dim() else valid[..., None])
    if bad.any():
        index = tuple(bad.nonzero()[0].tolist())
        row = index[:-1] if tensor.dim() > 1 else index
        values = tensor[row].tolist()
        if tensor.dim() > 1 and len(values) > LONG_ROW:
            values = f"{values[index[-1]]} at index {index[-1]}"
        raise ValueError(
            f"{name}: row {row[0] if len(row) == 1 else list(row)} is not finite: {values}; "
            f"drop such rows, e.g. with torch.isfinite, or look at what computed them"
        )


def check_same_device(**tensors: Tensor) -> None:
    """Check that named tensors share one device."""
    if len({t.device for t in tensors.values()}) > 1:
        devices = ", ".join(f"{name} on {t.device}" for name, t in tensors.items())
        raise ValueError(f"all tensors must be on one device, got {devices}; move them with .to()")


def check_positive(value: float, name: str, hint: str = "") -> None:
    """Check that a number is finite and above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number{hint}, got {value}")


def check_sampling(spatial_scale: float, sampling_ratio: int = 1) -> None:
    """Check the numbers that place the samples: a positive scale, a whole sampling ratio."""
    check_positive(spatial_scale, "spatial_scale", " of elements per pixel, such as 1 / 16")
    if not isinstance(sampling_ratio, Integral):
        raise TypeError(f"sampling_ratio must be an int, got {sampling_ratio!r}")


def check_share(value: float, name: str) -> None:
    """Check that a number is from 0 to 1."""
    if not 0.0 <= float(value) <= 1.0:
        raise ValueError(f"{name} must be between 0 and 1, got {value}")


def check_size(size: int | Sequence[int], name: str) -> None:
    """Check that a size is one positive integer or two."""
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if not all(isinstance(n, Integral) and not isinstance(n, bool) for n in pair):
        raise TypeError(f"{name} must be an int or a pair of ints, got {size!r}")
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{name} must be one or two positive ints, got {size!r}")
