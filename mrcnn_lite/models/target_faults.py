"""The sentences about targets that would train nonsense, for `transform.check_targets`."""

from torch import Tensor


def refuse_object(targets: list[dict[str, Tensor]], number: int, num_classes: int) -> None:
    """Raise a ValueError on the box or label of an object, counted over all images."""
    rows = [(index, row) for index, t in enumerate(targets) for row in range(len(t["boxes"]))]
    index, row = rows[number]
    box, label = targets[index]["boxes"][row], int(targets[index]["labels"][row])
    if 0 < label < num_classes:
        raise ValueError(
            f"targets[{index}]['boxes'][{row}] is {box.tolist()}: x2 must exceed x1 and y2 exceed "
            "y1, all finite; drop the object"
        )
    raise ValueError(
        f"targets[{index}]['labels'][{row}] is {label}; labels go from 1 to {num_classes - 1} (0 "
        f"is the background, num_classes is {num_classes})"
    )


def refuse_masks(targets: list[dict[str, Tensor]], index: int) -> None:
    """Raise a ValueError on an image's first value that is neither 0 nor 1."""
    target = targets[index]
    masks = target["masks"]
    row, y, x = ((masks != 0) & (masks != 1)).nonzero()[0].tolist()
    known = [f"{name} {target[name]}" for name in ("file_name", "image_id") if name in target]
    image = f" ({', '.join(known)})" if known else ""
    raise ValueError(
        f"targets[{index}]['masks'][{row}]{image} holds {masks[row, y, x].item()}; masks hold 0 "
        "and 1: give (masks > 0) where every other value is the object, and one mask per object, "
        "masks == number, where values are the numbers of objects"
    )


def check_keypoints(targets: list[dict[str, Tensor]], count: int) -> None:
    """Refuse points that are not float [G, count, 3], see `keypoint_head`, or hold other values.

    Raises:
        ValueError: the message names image, row, point and value.
    """
    asked = "x, y and v of each point, v 0 (not labelled), 1 (hidden) or 2 (visible)"
    for index, target in enumerate(targets):
        points, shape = target.get("keypoints"), (len(target["boxes"]), count, 3)
        if getattr(points, "shape", None) != shape or not points.is_floating_point():
            found = f"{points.dtype} {[*points.shape]}" if isinstance(points, Tensor) else points
            name = f"targets[{index}]['keypoints']"
            raise ValueError(f"{name} is {found}; give float {[*shape]}: {asked}")
        x, y, v = points.unbind(dim=2)
        wrong = ~((x + y).isfinite() & ((v == 0) | (v == 1) | (v == 2)))  # [G, N]
        if wrong.any():
            row, point = wrong.nonzero()[0].tolist()
            name, found = f"targets[{index}]['keypoints'][{row}, {point}]", points[row, point]
            raise ValueError(f"{name} is {found.tolist()}; give finite {asked}")
