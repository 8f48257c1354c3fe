"""What the data say: how large, how long and which way up their objects are, and what follows.

`Objects.of` measures a data set. From that follow the size of the images and crops (`image_size`,
`largest_scale`), the anchors (`anchors`) and the turns (`one_way`); `fit` says each in a line.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from ..config import Config, TrainingConfig
from ..datasets import CocoDataset
from ..datasets.transforms import MIN_PIXELS

MEDIAN_SIZE = 32.0  # pixels (root of the area) at which the lite network sees the median object
LEAST_SIZE = 16.0  # ... and how far it may shrink for the sake of the large ones
MOST = 0.85  # the share of objects that "most" means
CROP_SHARE = 0.5  # most objects are at most this share of a crop's side, so that crops hold them
MOST_RATIOS = 3  # of anchors: FR §3.1.1 has three
GAIN = 0.05  # in mean IoU; for less, anchors stay as they are
SHAPE_IOU = 0.8  # fewer ratios do where boxes and anchors of one area have this IoU on average
GRID = 8  # cells of a mask's shape along its longer side
TELLING = 0.25  # masks that turns change more say which way they lie: rectangles from 1.3 : 1 on
FEW = 10  # fewer such objects of a class say nothing; nor do less than half of its objects
ONE_WAY = 0.5  # R from which on objects lie one way
ENOUGH = 5_000  # objects; then no more images are opened
SCALES = 8  # at which training sees a box, from the smallest to the largest


@dataclass(frozen=True)
class Objects:
    """The objects of a data set; lengths in shorter sides of their images, crowds left out."""

    boxes: Tensor  # [N, 2], width and height
    sizes: Tensor  # [N], root of the mask's area
    ways: Tensor  # [N, GRID, GRID], which way they lie (`change_by_turns`)
    changes: Tensor  # [N], how much a turn changes
    labels: Tensor  # [N]
    longer: float  # side of the median image
    share: float = 1.0  # of the images that were opened

    @classmethod
    def of(cls, dataset: CocoDataset) -> Objects:
        """Measure all objects (at least one), or those of images by chance until it is `ENOUGH`."""
        rows, ways, longer = [], [], []
        for index in torch.randperm(len(dataset), generator=torch.Generator()).tolist():
            if len(rows) >= ENOUGH:
                break
            image, target = dataset[index]
            shorter, long = sorted(image.shape[-2:])
            longer.append(long / shorter)
            for k in (target["iscrowd"] == 0).nonzero()[:, 0].tolist():
                x1, y1, x2, y2 = target["boxes"][k].long().tolist()
                way, change = change_by_turns(target["masks"][k, y1:y2, x1:x2])
                ways.append(way)
                size = float(target["area"][k]) ** 0.5 / shorter
                box = (x2 - x1) / shorter, (y2 - y1) / shorter
                rows.append((*box, size, change, int(target["labels"][k])))
        w, h, sizes, changes, labels = map(torch.tensor, zip(*rows, strict=True))
        boxes, median = torch.stack([w, h], dim=1), float(torch.tensor(longer).median())
        share = len(longer) / len(dataset)
        return cls(boxes, sizes, torch.stack(ways), changes, labels, median, share)

    def most_extent(self) -> float:
        """The longer side of a box that `MOST` objects do not pass, in shorter sides."""
        return float(self.boxes.amax(1).quantile(MOST))


def change_by_turns(mask: Tensor) -> tuple[Tensor, float]:
    """Return which way a mask's shape lies [GRID, GRID], and how much a turn changes it.

    The mask is drawn in a square of few cells; the mean over the square's eight turns is taken from
    it, and the rest divided by the norm of the mask in its cells. Its norm is the second value: 0
    for a square or a disc, the same for a turned mask. The first is the rest's mean with its mirror
    image, for training exchanges left and right in any case. The first values of a shape's eight
    turns add up to 0, as directions do that point every way.

    Args:
        mask: Tensor[h, w], not empty.
    """
    down, right = (_cells(side, max(mask.shape)) for side in mask.shape)  # [GRID, h], [GRID, w]
    cells = down @ mask.float() @ right.T  # [GRID, GRID]
    turns = [turned for half in (cells, cells.flip(0)) for turned in (half, half.flip(1))]
    turns += [turned.T for turned in turns]
    rest = (cells - torch.stack(turns).mean(0)) / cells.norm()
    return (rest + rest.flip(1)) / 2, float(rest.norm())


def _cells(side: int, longer: int) -> Tensor:
    """The share of each cell, `longer` in all and centred, that each pixel covers [GRID, side]."""
    borders = torch.linspace(-longer / 2, longer / 2, GRID + 1) + side / 2
    pixels = torch.arange(side)
    ends = torch.minimum(borders[1:, None], pixels + 1)  # [GRID, side]
    return (ends - torch.maximum(borders[:-1, None], pixels)).clamp(min=0) * (GRID / longer)


def shape_iou(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return the IoU [N, K] of boxes [N, 2] and anchors [K, 2] (width, height) on one centre."""
    inter = torch.minimum(boxes[:, None], anchors).prod(2)  # [N, K]
    return inter / (boxes.prod(1)[:, None] + anchors.prod(1) - inter)  # [N, K]


def cluster(boxes: Tensor, count: int) -> Tensor:
    """Return the `count` anchors [count, 2] that k-means finds with the distance 1 - IoU, in order
    of their heights (Redmon and Farhadi 2017, YOLO9000, "Dimension Clusters").

    It starts from quantiles of the heights, so that the same boxes give the same anchors.

    Args:
        boxes: Tensor[N, 2], width and height.
        count: at least 1.
    """
    starts = (torch.arange(count) + 0.5) * len(boxes) / count
    anchors = boxes[boxes[:, 1].argsort()[starts.long()]].clone()  # [count, 2]
    nearest = None
    for _ in range(100):
        before, nearest = nearest, shape_iou(boxes, anchors).argmax(1)  # [N]
        if before is not None and before.equal(nearest):
            break
        for k in nearest.unique().tolist():  # an anchor without a box stays where it is
            anchors[k] = boxes[nearest == k].mean(0)
    return anchors[anchors[:, 1].argsort()]


def one_way(objects: Objects) -> tuple[float, int]:
    """Return R, from 0 (objects lie every way) to 1 (all lie the same way), and how many say it.

    R is the mean resultant length (Mardia and Jupp 2000, Directional Statistics, §9.4), not of
    angles but of shapes (`change_by_turns`), for an upright triangle or star has no longer axis.
    It is taken within each class: people stand and cars lie, and both have a top.
    """
    length, total, count = 0.0, 0.0, 0
    for label in objects.labels.unique():
        rows = objects.labels == label
        ways = objects.ways[rows & (objects.changes > TELLING)]
        if len(ways) >= max(FEW, int(rows.sum()) / 2):
            length, count = length + float(ways.sum(0).norm()), count + len(ways)
            total += float(ways.flatten(1).norm(dim=1).sum())
    return length / max(total, 1e-9), count


def crop_sides(config: Config) -> tuple[float, float]:
    """Return the smallest and largest shorter side (pixels) of the images that crops are cut from.

    Raises:
        ValueError: crops do not fit into them.
    """
    training, side = config.training, config.image.min_size
    low, high = (side * scale for scale in training.scale_range)
    if max(low, training.crop_size) > high:
        raise ValueError(
            f"crops of config.training.crop_size {training.crop_size} do not fit into images of "
            f"config.image.min_size {side} times at most scale_range {training.scale_range}; "
            "choose smaller crops (0: whole images)"
        )
    return max(low, training.crop_size), high


def image_size(config: Config, objects: Objects) -> int:
    """Return the shorter side (pixels) at which the median object measures `MEDIAN_SIZE`, or less
    where most objects would not be whole in a crop; not below the crop, and not so large that the
    median image's longer side would pass `max_size`, for then the network would see it smaller."""
    step, crop = config.image.size_divisible, config.training.crop_size
    median = float(objects.sizes.median())
    side = min(MEDIAN_SIZE / median, CROP_SHARE * crop / objects.most_extent())
    side = round(max(side, LEAST_SIZE / median) / step) * step
    largest = round(config.image.max_size / objects.longer) // step * step
    return max(min(side, largest), crop)


def largest_scale(config: Config, objects: Objects) -> float:
    """Return the end of `scale_range` at which most objects still are no longer than a crop."""
    crop, side = config.training.crop_size, config.image.min_size
    whole = max(crop / (objects.most_extent() * side), crop / side, 1.0)
    return min(config.training.scale_range[1], ceil(100 * whole) / 100)


def in_the_middle(config: Config, largest: int) -> Config:
    """Let the network look at images in the middle of training's scales, which stay as they are,
    or as near to it as the `largest` side that it can see.

    Where crops bound the scales from below, objects would be smaller than in training, and fewer
    are found then (Touvron et al. 2019, Fixing the train-test resolution discrepancy).
    """
    low, high = crop_sides(config)
    middle = max(min(round((low * high) ** 0.5), largest), config.training.crop_size)
    scales = low / middle, high / middle
    return config.with_(image={"min_size": middle}, training={"scale_range": scales})


def seen_boxes(config: Config, objects: Objects) -> Tensor:
    """Return widths and heights [M, 2] in pixels of training's crops: every box at several scales,
    cut at a crop's size, and on its side too where crops are turned. Crops drop smaller objects
    than `MIN_PIXELS`; a ValueError where these are all."""
    turned = config.training.turns == "all"
    boxes = torch.cat([objects.boxes, objects.boxes.flip(1)][: 1 + turned])  # [N, 2] or [2 N, 2]
    sizes = objects.sizes.repeat(1 + turned)  # [N] or [2 N]
    low, high = (torch.tensor(side).log() for side in crop_sides(config))
    scales = torch.linspace(low, high, SCALES).exp()[:, None]
    seen = (scales[..., None] * boxes).clamp(max=config.training.crop_size)  # [SCALES, N, 2]
    seen = seen[scales * sizes >= MIN_PIXELS**0.5]  # [M, 2]
    if len(seen) == 0:
        raise ValueError(
            f"no object has {MIN_PIXELS} pixels in a crop: the largest measures "
            f"{float(scales.max() * sizes.max()):.1f} (root of its area); raise "
            f"config.image.max_size, which is {config.image.max_size}, or cut the images into parts"
        )
    return seen


def anchors(config: Config, objects: Objects, ratios: bool = True) -> dict[str, tuple]:
    """Return `anchor_sizes` and `aspect_ratios` for the boxes that training will see.

    As few ratios as do, up to three, from the boxes shrunk to one area; a size for each that the
    config has, finest level first, from squares of the boxes' areas.

    Args:
        config: with the image's size and the turns.
        objects: of the data.
        ratios: look for ratios too, instead of keeping the config's.
    """
    boxes = seen_boxes(config, objects)
    roots = boxes.prod(1, keepdim=True).sqrt()  # [M, 1]
    shapes = boxes / roots  # [M, 2]
    found = config.rpn.aspect_ratios
    for count in range(1, 1 + MOST_RATIOS * ratios):
        centres = cluster(shapes, count)
        found = tuple(float(f"{r:.2g}") for r in (centres[:, 1] / centres[:, 0]).tolist())
        if shape_iou(shapes, centres).amax(1).mean() >= SHAPE_IOU:
            break
    levels = config.rpn.anchor_sizes
    sizes = iter(cluster(roots.expand(-1, 2), sum(map(len, levels)))[:, 0].round().tolist())
    return {
        "anchor_sizes": tuple(tuple(next(sizes) for _ in level) for level in levels),
        "aspect_ratios": found,
    }


def anchor_iou(config: Config, objects: Objects) -> float:
    """Return the IoU of training's boxes with their best anchors on one centre, on average."""
    areas = torch.tensor([size for level in config.rpn.anchor_sizes for size in level]) ** 2
    ratios = torch.tensor(config.rpn.aspect_ratios)[:, None]
    shapes = torch.stack([(areas / ratios).sqrt(), (areas * ratios).sqrt()], dim=2)  # [R, S, 2]
    return float(shape_iou(seen_boxes(config, objects), shapes.flatten(0, 1)).amax(1).mean())


def fit(
    config: Config, objects: Objects, keep: Container[str], tell: Callable[[str], None]
) -> Config:
    """Fit a config to its objects, but for the fields to keep, and tell each choice in a line."""
    if "image.min_size" not in keep:
        config = config.with_(image={"min_size": image_size(config, objects)})
    if "training.scale_range" not in keep:
        usual = config.with_(training={"scale_range": TrainingConfig.scale_range})
        scales = TrainingConfig.scale_range[0], largest_scale(usual, objects)
        config = config.with_(training={"scale_range": scales})
        if "image.min_size" not in keep:
            config = in_the_middle(config, round(config.image.max_size / objects.longer))
    side, crop = config.image.min_size, config.training.crop_size
    some = "" if objects.share == 1 else f" in {objects.share:.1%} of the images, chosen by chance"
    tell(
        f"objects: {len(objects.sizes)}{some}; at images of {side} pixels the median one measures "
        f"{side * float(objects.sizes.median()):.0f} (root of its area), and {MOST:.0%} are at "
        f"most {side * objects.most_extent():.0f} long, in crops of {crop}"
    )
    why = "as asked"
    if "training.turns" not in keep:
        resultant, count = one_way(objects)
        config = config.with_(training={"turns": "flip" if resultant >= ONE_WAY else "all"})
        why = f"for R = {resultant:.2f} (0 every way, 1 one way), of {count} objects that tell"
    names = {"all": "all eight of a square", "flip": "left and right alone"}
    tell(f"turns of crops: {names[config.training.turns]}, {why}")
    return _fit_anchors(config, objects, keep, tell)


def _fit_anchors(
    config: Config, objects: Objects, keep: Container[str], tell: Callable[[str], None]
) -> Config:
    """The config with the data's anchors, where they are better by more than `GAIN`."""
    found = anchors(config, objects, "rpn.aspect_ratios" not in keep)
    fitted = config.with_(rpn={n: v for n, v in found.items() if f"rpn.{n}" not in keep})
    before, after = (anchor_iou(c, objects) for c in (config, fitted))
    if after > before + GAIN:
        config, told = fitted, f"{after:.2f} on average, {before:.2f} with those before"
    else:
        told = f"{before:.2f} on average, and hardly more with others"
    sizes = ", ".join(f"{size:g}" for level in config.rpn.anchor_sizes for size in level)
    ratios = ", ".join(f"{ratio:g}" for ratio in config.rpn.aspect_ratios)
    tell(f"anchors: {sizes} pixels, height / width {ratios}; IoU with the boxes {told}")
    return config
