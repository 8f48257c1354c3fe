"""Explorer of notebook 07: two IoU thresholds, and which anchors they make positive."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...config import lite
from ...datasets import Shapes
from ...models.anchors import AnchorGenerator
from ...models.matching import match
from ...ops import box_iou
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.detections import corners_of
from ..kit.explorer import Explorer, choice, slider, toggle
from ..kit.grid import write
from .pictures import draw_boxes, faded

STRIDES = (4, 8, 16, 32)
SHAPES = {"three shapes": (0.5, 1.0, 2.0), "squares only": (1.0,)}  # height / width
SEED, PICTURES = 5, (25, 33, 43, 244)  # in the last, nobody needs the low-quality rule
TOUCH = 0.05  # anchors below this IoU are counted, but not drawn as dots


@dataclass(frozen=True)
class Match:
    """What the matcher says of one picture."""

    iou: Tensor  # [G, A]
    matched: Tensor  # [A], the object that each anchor overlaps most
    labels: Tensor  # [A]: 1 positive, 0 background, -1 ignored

    def counts(self) -> tuple[int, int, int]:
        """How many anchors are positive, ignored, background."""
        return tuple(int((self.labels == kind).sum()) for kind in (1, -1, 0))

    def positives(self) -> list[int]:
        """How many positive anchors each object has."""
        owners = self.matched[self.labels > 0]
        return torch.bincount(owners, minlength=len(self.iou)).tolist()


def picture_anchors(size: tuple[int, int], ratios: Sequence[float]) -> list[Tensor]:
    """The anchors of the small network's four levels over a picture."""
    generator = AnchorGenerator(lite().rpn.anchor_sizes, tuple(ratios))
    maps = [torch.zeros(1, 1, size[0] // s, size[1] // s) for s in STRIDES]
    per_level = [m.shape[-2] * m.shape[-1] * len(ratios) for m in maps]
    return list(generator(maps, size).split(per_level))


class AnchorMatching:
    """A picture, its anchors, and the rule that says which object each learns from."""

    def __init__(self, scenes: Sequence[tuple[Tensor, dict]] | None = None):
        """Start with the thresholds of Faster R-CNN."""
        shapes = Shapes(None, SEED)
        self.scenes = list(scenes) if scenes else [shapes[i] for i in PICTURES]
        self.picture = 1
        self.foreground, self.background = 0.7, 0.3
        self.low_quality = True
        self.shapes = "three shapes"
        self.show_ignored = True
        self._board: _Board | None = None

    @property
    def scene(self) -> tuple[Tensor, dict]:
        """The image that is looked at, and its target."""
        return self.scenes[self.picture - 1]

    def anchors(self) -> Tensor:
        """All anchors of the picture, Tensor[A, 4]."""
        return torch.cat(picture_anchors(self.scene[0].shape[-2:], SHAPES[self.shapes]))

    def match(self) -> Match:
        """Match with the present thresholds; low is never above high."""
        objects, anchors = self.scene[1]["boxes"], self.anchors()
        low = min(self.background, self.foreground)
        rule = (self.foreground, low, self.low_quality)
        valid = torch.ones(1, len(objects), dtype=torch.bool)
        matched, labels = match(objects[None], valid, anchors, *rule)
        return Match(box_iou(objects, anchors), matched[0], labels[0])

    def render(self) -> tuple[bytes, str]:
        """The picture and the numbers."""
        found = self.match()
        if self._board is None:
            most = max(len(target["boxes"]) for _, target in self.scenes)
            self._board = _Board(self.scene[0].shape[-2:], most)
        self._board.move(self, found)
        return self._board.canvas.png(), self.describe(found)

    def describe(self, found: Match) -> str:
        """What the picture says, in words and numbers."""
        positive, ignored, background = found.counts()
        per_object = found.positives()
        without = [str(number) for number, count in enumerate(per_object) if not count]
        words = f"objects without a positive anchor: {', '.join(without) or 'none'}"
        low = min(self.background, self.foreground)
        rule = "with" if self.low_quality else "without"
        lines = [
            f"{positive} positive, {ignored} ignored, {background} background; {words}",
            f"high {self.foreground:.2f}, low {low:.2f}, {rule} the low-quality rule",
        ]
        names = [Shapes.class_names[label] for label in self.scene[1]["labels"].tolist()]
        for number, name in enumerate(names):
            best = float(found.iou[number].max())
            lines.append(
                f"  object {number}, {name}: best IoU {best:.4f}, {per_object[number]} positive"
            )
        return "\n".join(lines)


class _Board:
    """Left the picture, right every anchor's IoU in the row of its object."""

    def __init__(self, size: tuple[int, int], most: int):
        fig, (left, right) = style.figure(1, 2, width=8.0, height=3.9, width_ratios=(1, 1.05))
        height, width = size
        left.set(xlim=(-8, width + 8), ylim=(height + 8, -8), xticks=[], yticks=[], aspect="equal")
        left.spines[:].set_visible(False)
        right.set(xlim=(0, 1), ylim=(most - 0.4, -0.6), xlabel="IoU with the object")
        right.set_yticks(range(most), [f"object {number}" for number in range(most)])
        right.tick_params(axis="y", length=0)
        nowhere = torch.zeros(0, 4)
        ignored = draw_boxes(left, nowhere, style.ORANGE, linewidths=0.7, alpha=0.45)
        positive = draw_boxes(left, nowhere, style.BLUE, linewidths=2.0)
        objects = draw_boxes(left, nowhere, style.BLACK, linewidths=1.8)
        missed = draw_boxes(left, nowhere, style.VERMILION, linewidths=3, linestyles=(0, (2, 1)))
        dots = [
            right.plot([], [], marker, color=colour, ms=ms, mfc=fill, label=name, zorder=zorder)[0]
            for name, marker, colour, ms, fill, zorder in (
                ("background", ".", style.GREY, 3, style.GREY, 2),
                ("ignored", "^", style.ORANGE, 5, "none", 3),
                ("positive", "o", style.BLUE, 7, style.BLUE, 4),
            )
        ]
        lines = [right.axvline(0, color=style.BLACK, ls=ls, lw=1.4) for ls in (":", "-")]
        right.legend(handles=dots, loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=3)
        self.canvas = Canvas(fig)
        add = self.canvas.add
        blank = faded(torch.ones(3, 2, 2))
        frame = {"extent": (0, width, height, 0), "interpolation": "antialiased"}
        self.pixels = add(left.imshow(blank, **frame))
        left.set(xlim=(-8, width + 8), ylim=(height + 8, -8))
        self.ignored, self.positive, self.objects, self.missed = self.canvas.add_all(
            [ignored, positive, objects, missed]
        )
        self.numbers = [add(write(left, 0, 0, str(n), weight="bold")) for n in range(most)]
        self.lines, self.dots = self.canvas.add_all(lines), self.canvas.add_all(dots)
        look = {"ha": "right", "color": style.VERMILION, "fontsize": style.SMALL}
        look["bbox"] = {"fc": "white", "ec": "none", "pad": 1}
        words = "no positive anchor"
        self.notes = [add(right.text(0.99, n - 0.25, words, **look)) for n in range(most)]

    def move(self, state: AnchorMatching, found: Match) -> None:
        """Show one match."""
        image, target = state.scene
        objects, anchors = target["boxes"], state.anchors()
        per_object = torch.tensor(found.positives())
        self.pixels.set_data(faded(image))
        ignored = anchors[(found.labels < 0) & state.show_ignored]
        self.ignored.set_segments(corners_of(ignored))
        self.positive.set_segments(corners_of(anchors[found.labels > 0]))
        self.objects.set_segments(corners_of(objects[per_object > 0]))
        self.missed.set_segments(corners_of(objects[per_object == 0]))
        for text, note in zip(self.numbers, self.notes):
            text.set_visible(False)
            note.set_visible(False)
        centres = ((objects[:, :2] + objects[:, 2:]) / 2).tolist()
        for number, centre in enumerate(centres):
            self.numbers[number].set(position=centre, visible=True)
            self.notes[number].set_visible(not per_object[number])
        best = found.iou.amax(dim=0)  # [A]
        for kind, dots in zip((0, -1, 1), self.dots, strict=True):
            chosen = (found.labels == kind) & (best > TOUCH)
            dots.set_data(best[chosen].numpy(), found.matched[chosen].numpy())
        low = min(state.background, state.foreground)
        for line, x in zip(self.lines, (low, state.foreground), strict=True):
            line.set_xdata([x, x])


def explore_matching(
    scenes: Sequence[tuple[Tensor, dict]] | None = None, **settings: float | str
) -> Explorer:
    """The explorer of the two thresholds.

    Args:
        scenes: images with their targets; four drawn ones if not given.
        **settings: where to start: foreground, background, low_quality, shapes, picture.

    Returns:
        An explorer that can be displayed, and moved with `set`.
    """
    state = AnchorMatching(scenes)
    controls = [
        slider("foreground", "high: positive from", 0.3, 0.95, 0.05),
        slider("background", "low: background below", 0.0, 0.95, 0.05),
        toggle("low_quality", "low-quality rule"),
        choice("shapes", "anchors", list(SHAPES)),
        slider("picture", "picture", 1, len(state.scenes)),
        toggle("show_ignored", "draw the ignored"),
    ]
    alt = "Positive and ignored anchors over a picture; their IoU as dots in rows by object."
    return Explorer(state, controls, alt, width=800).set(**settings)
