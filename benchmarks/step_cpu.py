"""One training step of the lite network on two cores: ours against torchvision's classes.

    python -m benchmarks.step_cpu [--threads 2] [--seconds 40] [--json FILE]

The peer is what one writes with torchvision: its feature pyramid, RPN, RoI heads and residual
blocks, put together to the lite network, with the same weights, batch and optimiser. A step is
forward, backward, clipping and AdamW. First both take one step with the same sample, and all losses
must be equal. For that our side gives up what torchvision does not have: mask targets without the
half-pixel shift, and the cap on the masks of an image. The last line shows what the cap brings.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.cpu import Report, command
from benchmarks.table import Different, Row, ratio
from benchmarks.timing import compare
from mrcnn_lite.config import Config, lite
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.lessons.n11_whole_network.reference_pair import record_priorities, share_sample
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.backbone import GROUPS

GOAL = 2.0
CLASSES = 6
TOLERANCE = 1e-5  # of each loss, relative: float32
ALL = 1000  # more masks per image than there are positives: no cap


class Body(nn.Module):
    """The small body from torchvision's residual blocks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        from torchvision.models.resnet import BasicBlock

        widths, blocks = config.backbone.widths, config.backbone.blocks
        half, inputs = widths[0] // 2, widths[0]

        def conv(channels: int, width: int, kernel: int, stride: int) -> list[nn.Module]:
            layer = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
            return [layer, norm(width)]

        relu = nn.ReLU(inplace=True)
        self.stem = nn.Sequential(*conv(3, half, 3, 2), relu, *conv(half, inputs, 3, 2), relu)
        self.stages = nn.ModuleList()
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stride = 1 if index == 0 else 2
            shortcut = nn.Sequential(*conv(inputs, width, 1, stride)) if index else None
            layers = [BasicBlock(inputs, width, stride, shortcut, norm_layer=norm)]
            layers += [BasicBlock(width, width, norm_layer=norm) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*layers))
            inputs = width

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """Return the maps at strides 4 to 32 by name."""
        x, maps = self.stem(x), OrderedDict()
        for level, stage in enumerate(self.stages):
            x = stage(x)
            maps[str(level)] = x  # [B, C, h, w]
        return maps


def norm(channels: int) -> nn.Module:
    """The norm of the lite network."""
    return nn.GroupNorm(GROUPS, channels)


def torchvision_lite(config: Config) -> nn.Module:
    """The lite network from torchvision's classes."""
    from torchvision.models import detection
    from torchvision.models.detection import faster_rcnn, mask_rcnn
    from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

    rpn, box, mask, width = config.rpn, config.box, config.mask, config.backbone.fpn_channels
    backbone = nn.Sequential(
        OrderedDict(
            body=Body(config),
            fpn=FeaturePyramidNetwork(list(config.backbone.widths), width, norm_layer=norm),
        )
    )
    backbone.out_channels = width
    ratios = (rpn.aspect_ratios,) * len(rpn.anchor_sizes)
    return detection.MaskRCNN(
        backbone,
        min_size=config.image.min_size,
        max_size=config.image.max_size,
        image_mean=config.image.mean,
        image_std=config.image.std,
        rpn_anchor_generator=detection.rpn.AnchorGenerator(rpn.anchor_sizes, ratios),
        rpn_pre_nms_top_n_train=rpn.pre_nms_train,
        rpn_post_nms_top_n_train=rpn.post_nms_train,
        rpn_batch_size_per_image=rpn.samples,
        box_roi_pool=MultiScaleRoIAlign(["0"], box.pooled_size, box.sampling_ratio),
        box_head=faster_rcnn.FastRCNNConvFCHead(
            (width, box.pooled_size, box.pooled_size),
            list(box.convs),
            [box.head_channels],
            norm_layer=norm,
        ),
        box_predictor=faster_rcnn.FastRCNNPredictor(box.head_channels, CLASSES),
        box_batch_size_per_image=box.samples,
        box_positive_fraction=box.positive_fraction,
        mask_roi_pool=MultiScaleRoIAlign(["0"], mask.pooled_size, mask.sampling_ratio),
        mask_head=mask_rcnn.MaskRCNNHeads(width, mask.channels, 1, norm_layer=norm),
        mask_predictor=mask_rcnn.MaskRCNNPredictor(mask.channels[-1], mask.hidden, CLASSES),
    )


def lite_pair(config: Config) -> tuple[MaskRCNN, nn.Module]:
    """Ours and torchvision's form of it, with the same random weights."""
    ours, theirs = MaskRCNN(config), torchvision_lite(config)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def losses(model: nn.Module, images: list[Tensor], targets: list[dict]) -> dict[str, Tensor]:
    """The losses of a batch; torchvision writes into the dicts that it gets."""
    return model(images, [dict(target) for target in targets])


def both_losses(
    ours: MaskRCNN, theirs: nn.Module, images: list[Tensor], targets: list[dict]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The losses of both networks for one batch, with the same sample of anchors and RoIs."""
    drawn = record_priorities(ours)
    mine = losses(ours.train(), images, targets)
    share_sample(theirs, ours.config, drawn, [len(target["boxes"]) for target in targets])
    return mine, losses(theirs.train(), images, targets)


def make_step(
    model: nn.Module, images: list[Tensor], targets: list[dict], layout: torch.memory_format
) -> Callable[[], dict[str, float]]:
    """A whole training step of a network, which reads its losses."""
    model.train().to(memory_format=layout)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def step() -> dict[str, float]:
        found = losses(model, images, targets)
        optimizer.zero_grad()
        sum(found.values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        return {name: float(value.detach()) for name, value in found.items()}

    return step


def measure(seconds: float, images: int) -> Report:
    """Compare the first losses, then the time of a step."""
    torch.manual_seed(0)
    capped = lite(CLASSES).with_(mask={"targets_aligned": False})
    equal = capped.with_(mask={"rois": ALL})
    shapes = Shapes(None, seed=1)
    batch = [list(part) for part in zip(*(shapes[i] for i in range(images)), strict=True)]

    ours, theirs = lite_pair(equal)
    both = both_losses(ours.to(memory_format=torch.channels_last), theirs, *batch)
    mine, other = ({name: value.item() for name, value in found.items()} for found in both)
    print("step 1      " + "  ".join(f"{name} {value:.6f}" for name, value in mine.items()))
    worst = max(abs(mine[name] - other[name]) / abs(other[name]) for name in other)
    print(f"torchvision's differ by at most {worst:.1e} of their value")
    if not worst <= TOLERANCE:
        raise Different("the losses differ: times would mean nothing")

    results: Report = {"loss_difference": worst}
    for name, config in (("equal function", equal), ("with the cap of 4 masks", capped)):
        for layout in (torch.contiguous_format, torch.channels_last):
            peer = make_step(torchvision_lite(config), *batch, layout)
            step = make_step(MaskRCNN(config), *batch, torch.channels_last)
            result = compare(peer, step, seconds)
            title = f"{name}, torchvision {str(layout).removeprefix('torch.')}"
            results[title] = result.as_dict()
            print(
                f"{title:<56} {result.peer_ms:6.0f} ms / {result.ours_ms:4.0f} ms = "
                f"{result.ratio:.2f}x (fastest {result.best:.2f}x)"
            )
    (slower, _) = rows({"results": results})
    print(f"goal {GOAL}x, against the faster layout: {slower.verdict}")
    return {"results": results}


def rows(report: Report) -> list[Row]:
    """The ratio of a training step against the faster layout."""
    slower = []
    for function, goal in (("equal function", GOAL), ("with the cap of 4 masks", None)):
        both = [r for name, r in report["results"].items() if name.startswith(function)]
        worst = min(both, key=lambda entry: entry["ratio"])
        slower.append(ratio("step_cpu", f"training step, lite, {function}", worst, goal))
    return slower


def main() -> int:
    """Compare the first losses, then the time of a step; status 1 when losses differ."""
    seconds, images = (20.0, "for each comparison"), (8, "in a batch")
    return command(__doc__, measure, threads=2, seconds=seconds, images=images)


if __name__ == "__main__":
    raise SystemExit(main())
