"""Explorer of notebook 07b: two IoU thresholds, and which anchors they make positive."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.lines import Line2D
from torch import Tensor

from ...config import lite
from ...datasets import Shapes
from ...models.anchors import AnchorGenerator
from ...models.matching import match
from ...ops import box_iou
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.detections import corners_of, draw_boxes, draw_scene
from ..kit.explorer import Explorer, choice, slider, toggle

SEED, IMAGES = 5, (25, 33, 43, 244)  # in the last, nobody needs the low-quality rule
STRIDES = (4, 8, 16, 32)
SHAPES = {"three shapes": (0.5, 1.0, 2.0), "squares only": (1.0,)}  # height / width
TOUCH = 0.05  # anchors below this IoU are counted, but not drawn as dots


@dataclass(frozen=True)
class Match:
    """What the matcher says of one image."""

    iou: Tensor  # [G, A]
    matched: Tensor  # [A], the object that each anchor overlaps most
    labels: Tensor  # [A]: 1 positive, 0 background, -1 ignored

    def counts(self) -> tuple[int, int, int]:
        """How many anchors are positive, ignored, background."""
        return tuple(int((self.labels == kind).sum()) for kind in (1, -1, 0))

    def positives(self) -> list[int]:
        """How many positive anchors each object has."""
        return self.matched[self.labels > 0].bincount(minlength=len(self.iou)).tolist()


def image_anchors(size: tuple[int, int], ratios: Sequence[float]) -> list[Tensor]:
    """The anchors of the small network's four levels over an image."""
    generator = AnchorGenerator(lite().rpn.anchor_sizes, tuple(ratios))
    maps = [torch.zeros(1, 1, size[0] // s, size[1] // s) for s in STRIDES]
    return list(generator(maps, size).split([m[0, 0].numel() * len(ratios) for m in maps]))


class AnchorMatching:
    """An image, its anchors, and the rule that says which object each learns from."""

    def __init__(self, scenes: Sequence[tuple[Tensor, dict]] | None = None):
        self.scenes = list(scenes or [Shapes(None, SEED)[i] for i in IMAGES])
        self.image = 1
        self.foreground, self.background = 0.7, 0.3
        self.low_quality = True
        self.shapes = "three shapes"
        self.show_ignored = True
        self._drawn = 0  # the image that the axes are for

    @property
    def scene(self) -> tuple[Tensor, dict]:
        """The chosen image, and its target."""
        return self.scenes[self.image - 1]

    @property
    def low(self) -> float:
        """The lower threshold, which is never above the higher one."""
        return min(self.background, self.foreground)

    def anchors(self) -> Tensor:
        """All anchors of the image, Tensor[A, 4]."""
        return torch.cat(image_anchors(self.scene[0].shape[-2:], SHAPES[self.shapes]))

    def match(self) -> Match:
        """Match with the present thresholds."""
        objects, anchors = self.scene[1]["boxes"], self.anchors()
        rule = (self.foreground, self.low, self.low_quality)
        valid = torch.ones(1, len(objects), dtype=torch.bool)
        matched, labels = match(objects[None], valid, anchors, *rule)
        return Match(box_iou(objects, anchors), matched[0], labels[0])

    def render(self) -> tuple[bytes, str]:
        """The figure and the numbers."""
        result = self.match()
        if self.image != self._drawn:
            self._draw_axes()
        self._move(result)
        return self.canvas.png(), self.describe(result)

    def describe(self, result: Match) -> str:
        """What the figure says, in words and numbers."""
        positive, ignored, background = result.counts()
        per_object = result.positives()
        without = [str(number) for number, count in enumerate(per_object) if not count]
        lines = [
            f"{positive} positive, {ignored} ignored, {background} background; "
            f"objects without a positive anchor: {', '.join(without) or 'none'}",
            f"high {self.foreground:.2f}, low {self.low:.2f}, "
            f"{'with' if self.low_quality else 'without'} the low-quality rule",
        ]
        best = result.iou.amax(1).tolist()
        for number, label in enumerate(self.scene[1]["labels"].tolist()):
            lines.append(
                f"  object {number}, {Shapes.class_names[label]}: best IoU {best[number]:.4f}, "
                f"{per_object[number]} positive"
            )
        return "\n".join(lines)

    def _draw_axes(self) -> None:
        """Left the image, right every anchor's IoU in the row of its object."""
        self._drawn, objects = self.image, self.scene[1]["boxes"]
        fig, (left, right) = style.figure(1, 2, width=8.0, height=3.9, width_ratios=(1, 1.05))
        draw_scene(left, self.scene[0], objects)
        count = len(objects)
        right.set(xlim=(0, 1), ylim=(count - 0.4, -0.6), xlabel="IoU with the object")
        right.set_yticks(range(count), [""] * count)
        right.tick_params(axis="y", length=0)
        dots = [
            right.plot([], [], marker, color=colour, ms=ms, mfc=fill, label=name)[0]
            for name, marker, colour, ms, fill in (
                ("background", ".", style.GREY, 3, style.GREY),
                ("ignored", "^", style.ORANGE, 5, "none"),
                ("positive", "o", style.BLUE, 7, style.BLUE),
            )
        ]
        right.legend(handles=dots, loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=3)
        self.canvas = Canvas(fig)
        add, nowhere = self.canvas.add, torch.zeros(0, 4)
        dashed = {"linewidths": 3, "linestyles": (0, (2, 1))}
        self.ignored = add(draw_boxes(left, nowhere, style.ORANGE, linewidths=0.7, alpha=0.45))
        self.positive = add(draw_boxes(left, nowhere, style.BLUE, linewidths=2.0))
        self.frames = self.canvas.add_all(left.patches)  # of the objects
        self.missed = add(draw_boxes(left, nowhere, style.VERMILION, **dashed))
        self.canvas.add_all(left.texts)
        frames = [Line2D([], [], color=style.BLACK), Line2D([], [], color=style.VERMILION, ls=":")]
        names = ("object", "object without a positive anchor")
        left.legend(frames, names, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2)
        self.lines = [add(right.axvline(0, color=style.BLACK, ls=ls, lw=1.4)) for ls in (":", "-")]
        mark = {"ha": "center", "va": "bottom", "fontsize": style.SMALL}
        self.marks = [add(right.text(0, -0.62, name, **mark)) for name in ("low", "high")]
        self.dots = self.canvas.add_all(dots)
        beside = {"transform": right.get_yaxis_transform(), "ha": "right", "va": "center"}
        self.notes = [add(right.text(-0.02, n, "", **beside)) for n in range(count)]

    def _move(self, result: Match) -> None:
        anchors, missed = self.anchors(), torch.tensor(result.positives()) == 0  # [A, 4], [G]
        self.ignored.set_segments(corners_of(anchors[(result.labels < 0) & self.show_ignored]))
        self.positive.set_segments(corners_of(anchors[result.labels > 0]))
        self.missed.set_segments(corners_of(self.scene[1]["boxes"][missed]))
        for number, alone in enumerate(missed.tolist()):
            self.frames[number].set_visible(not alone)
            text = f"object {number}" + "\nno positive" * alone
            self.notes[number].set(text=text, color=style.VERMILION if alone else style.BLACK)
        best = result.iou.amax(dim=0)  # [A]
        for kind, dots in zip((0, -1, 1), self.dots, strict=True):
            chosen = (result.labels == kind) & (best > TOUCH)
            dots.set_data(best[chosen].numpy(), result.matched[chosen].numpy())
        places = (self.low, self.foreground)
        for line, mark, x in zip(self.lines, self.marks, places, strict=True):
            line.set_xdata([x, x])
            mark.set_x(x)
        self.marks[0].set_visible(self.low < self.foreground)


def explore_matching(
    scenes: Sequence[tuple[Tensor, dict]] | None = None, **settings: float | str
) -> Explorer:
    """The explorer of the two thresholds, on images with their targets; four drawn ones if none."""
    state = AnchorMatching(scenes)
    controls = [
        slider("foreground", "positive from", 0.3, 0.95, 0.05),
        slider("background", "background below", 0.0, 0.95, 0.05),
        toggle("low_quality", "low-quality rule"),
        choice("shapes", "anchors", list(SHAPES)),
        slider("image", "image", 1, len(state.scenes)),
        toggle("show_ignored", "draw the ignored"),
    ]
    alt = "Positive and ignored anchors over an image; their IoU as dots in rows by object."
    return Explorer(state, controls, alt, width=800).set(**settings)
