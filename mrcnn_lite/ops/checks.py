"""Refuse bad input with one sentence that names the argument, the row, the value and the cure.

A NaN box must never reach an index computation: torchvision's CPU RoIAlign dies on one with a
segmentation fault. On a GPU the checks of *values* are skipped, because each would make the host
wait for the device; types and shapes are checked everywhere.
"""

import math
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor

LONG_ROW = 8  # a longer row is not printed whole


def reads_values(*tensors: Tensor) -> bool:
    """Say whether looking at the tensors' values costs no wait for a device."""
    return all(t.device.type == "cpu" for t in tensors)


def check_tensor(tensor: Tensor, name: str, shape: str, floating: bool = True) -> None:
    """Check that an argument is a tensor of the right kind and rank.

    Args:
        tensor: the argument.
        name: how the caller knows it.
        shape: the expected shape in words, such as "[N, 4]" or "[..., 4]"; integers are compared.
        floating: whether only floating point is allowed.

    Raises:
        TypeError: no tensor, or not floating point.
        ValueError: another shape.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor {shape}, got {type(tensor).__name__}")
    if floating and not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {tensor.dtype}; call {name}.float()")
    wanted = shape.strip("[]").split(", ")
    open_ended = wanted[0] == "..."
    wanted = wanted[1:] if open_ended else wanted
    sizes = list(tensor.shape)
    enough = len(sizes) >= len(wanted) if open_ended else len(sizes) == len(wanted)
    last = sizes[len(sizes) - len(wanted) :]
    if not enough or any(w.isdigit() and int(w) != n for w, n in zip(wanted, last, strict=True)):
        raise ValueError(f"{name} must have shape {shape}, got {sizes}")


def sums_finite(tensor: Tensor) -> bool:
    """Say, in one pass, whether the sum of all values is finite; then all of them are.

    A sum may also overflow: False only asks for a closer look.
    """
    return math.isfinite(tensor.detach().sum().item())


def check_finite(tensor: Tensor, name: str, valid: Tensor | None = None) -> None:
    """Check that every value of a CPU tensor is finite, and name the first row that is not.

    Args:
        tensor: Tensor[..., D] of rows, or Tensor[N] where each value is a row.
        name: how the caller knows it.
        valid: optional Tensor[...] bool; rows that are False may hold anything.

    Raises:
        ValueError: a NaN or an infinity.
    """
    if not reads_values(tensor):
        return
    if sums_finite(tensor):
        return
    bad = ~torch.isfinite(tensor)  # [..., N]
    if valid is not None:
        bad = bad & (valid if bad.dim() == valid.dim() else valid[..., None])
    if bad.any():
        place = tuple(bad.nonzero()[0].tolist())
        row = place[:-1] if tensor.dim() > 1 else place
        where = row[0] if len(row) == 1 else list(row)
        found = tensor[row].tolist()
        if tensor.dim() > 1 and len(found) > LONG_ROW:
            found = f"{found[place[-1]]} at place {place[-1]}"
        raise ValueError(
            f"{name}: row {where} is not finite: {found}; "
            f"drop such rows, e.g. with torch.isfinite, or look at what computed them"
        )


def check_boxes(boxes: Tensor, name: str = "boxes", shape: str = "[..., 4]") -> None:
    """Check that boxes are floating point, of the right shape and finite."""
    check_tensor(boxes, name, shape)
    check_finite(boxes, name)


def check_same_device(**tensors: Tensor) -> None:
    """Check that named tensors share one device."""
    devices = {name: t.device for name, t in tensors.items()}
    if len(set(devices.values())) > 1:
        found = ", ".join(f"{name} on {device}" for name, device in devices.items())
        raise ValueError(f"all tensors must be on one device, got {found}; move them with .to()")


def check_positive(value: float, name: str) -> None:
    """Check that a number is finite and above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number, got {value}")


def check_weights(weights: Sequence[float]) -> None:
    """Check the four factors of (dx, dy, dw, dh): positive numbers."""
    if len(weights) != 4:
        raise ValueError(f"weights must be four numbers for (dx, dy, dw, dh), got {weights}")
    for place, weight in enumerate(weights):
        check_positive(weight, f"weights[{place}]")


def check_threshold(threshold: float, name: str = "iou_threshold") -> None:
    """Check that a threshold is a number from 0 to 1."""
    if not 0.0 <= float(threshold) <= 1.0:
        raise ValueError(f"{name} must be between 0 and 1, got {threshold}")


def check_sampling(spatial_scale: float, sampling_ratio: int = 1) -> None:
    """Check the numbers that place the samples: a positive scale, a whole sampling ratio."""
    if not (math.isfinite(spatial_scale) and spatial_scale > 0):
        raise ValueError(
            f"spatial_scale must be a positive number of elements per pixel, such as 1 / 16, "
            f"got {spatial_scale}"
        )
    if not isinstance(sampling_ratio, Integral):
        raise TypeError(f"sampling_ratio must be an int, got {sampling_ratio!r}")


def as_pair(size: int | Sequence[int], name: str = "output_size") -> tuple[int, int]:
    """Read `7` or `(7, 7)` as a pair of positive integers.

    Args:
        size: one integer, or (height, width).
        name: how the caller knows it.

    Returns:
        (height, width).

    Raises:
        TypeError: no integers.
        ValueError: not two, or not positive.
    """
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if not all(isinstance(n, Integral) and not isinstance(n, bool) for n in pair):
        raise TypeError(f"{name} must be an int or a pair of ints, got {size!r}")
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{name} must be one or two positive ints, got {size!r}")
    return int(pair[0]), int(pair[1])


def as_rois(
    input: Tensor, boxes: Tensor | Sequence[Tensor], name: str = "input"
) -> tuple[Tensor, Tensor]:
    """Check RoIs given in either of torchvision's two forms and separate image index and corners.

    Args:
        input: Tensor[B, C, h, w], the features the RoIs refer to.
        boxes: Tensor[K, 5] of (image index, x1, y1, x2, y2), or a list of B Tensor[R, 4].
        name: how the caller knows the features.

    Returns:
        image: Tensor[K] int64, which image each RoI belongs to.
        corners: Tensor[K, 4], float32 or float64.

    Raises:
        TypeError: a dtype that does not fit the features.
        ValueError: a wrong shape, a feature or box that is not finite, or an image index out of
            range.
    """
    check_tensor(input, name, "[B, C, h, w]")
    check_finite(input, name)
    if 0 in input.shape[2:]:
        raise ValueError(f"{name} must have at least one row and column, got {list(input.shape)}")
    if isinstance(boxes, Tensor):
        check_tensor(boxes, "boxes", "[K, 5]")
        check_finite(boxes, "boxes")
        image, corners = boxes[:, 0].detach().long(), boxes[:, 1:]  # [K], [K, 4]
        check_image_index(image, boxes.detach()[:, 0], len(input))
    else:
        image, corners = _from_list(input, boxes)
    check_same_device(input=input, boxes=corners)
    if input.dtype in (torch.float16, torch.bfloat16):
        # Eleven or eight bits cannot hold a coordinate: geometry stays in float32.
        corners = corners.float()
    elif corners.dtype != input.dtype:
        raise TypeError(
            f"boxes are {corners.dtype} and input is {input.dtype}; "
            f"give boxes.to(input.dtype) or features.to(boxes.dtype)"
        )
    return image, corners


def check_image_index(image: Tensor, given: Tensor, count: int) -> None:
    """Check that image indices are whole numbers from 0 to count - 1.

    Args:
        image: Tensor[K] int64.
        given: Tensor[K], the same as the caller wrote them.
        count: images in the batch.

    Raises:
        ValueError: naming the first row out of range.
    """
    if not reads_values(image) or not image.numel():
        return
    bad = (image < 0) | (image >= count) | (image != given)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ValueError(
            f"boxes: row {row} has image index {given[row].item():g}, "
            f"but input holds {count} image(s): whole numbers 0 to {count - 1} are allowed"
        )


def check_index(index: Tensor, name: str, rows: int, count: int) -> None:
    """Check a list of row numbers: int64, one for each of `rows`, from 0 to count - 1.

    Args:
        index: Tensor[K].
        name: how the caller knows it.
        rows: K.
        count: rows of what the numbers point into.

    Raises:
        TypeError: not int64.
        ValueError: another length, or a number out of range, with its row.
    """
    check_tensor(index, name, "[K]", floating=False)
    if index.dtype != torch.int64:
        raise TypeError(f"{name} must be int64, got {index.dtype}; call {name}.long()")
    if len(index) != rows:
        raise ValueError(f"{name} has {len(index)} rows, expected {rows}, one per box")
    if reads_values(index) and rows and not 0 <= int(index.min()) <= int(index.max()) < count:
        row = int(((index < 0) | (index >= count)).nonzero()[0])
        raise ValueError(
            f"{name}: row {row} is {int(index[row])}, but there are {count}: 0 to {count - 1}"
        )


def _from_list(input: Tensor, boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Join a list of boxes per image."""
    if not isinstance(boxes, (list, tuple)):
        raise TypeError(f"boxes must be a tensor [K, 5] or a list, got {type(boxes).__name__}")
    if len(boxes) != len(input):
        raise ValueError(f"boxes has {len(boxes)} entries for {len(input)} image(s) in input")
    for i, one in enumerate(boxes):
        check_boxes(one, f"boxes[{i}]", "[R, 4]")
    if not boxes:
        return input.new_zeros(0, dtype=torch.int64), input.new_zeros(0, 4)
    return join_rois(boxes)


def join_rois(boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Join B Tensor[R, 4], one per image: image index Tensor[K] int64 and corners Tensor[K, 4]."""
    # Filled, not copied from a list: a GPU's host need not wait.
    images = [one.new_full((len(one),), i, dtype=torch.int64) for i, one in enumerate(boxes)]
    return torch.cat(images), torch.cat(list(boxes))  # [K], [K, 4]
