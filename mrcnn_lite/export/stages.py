"""The exported network with its stages as additional outputs, and its thresholds as inputs.

The modules are the network's own, and so is what happens between them; only the box branch's
convolutions are computed in another way (`winograd`), since a page runs them for every frame. What
passes from one to the next is recorded where it passes: at modules by hooks, at functions by one in
their place that calls them.
"""

import copy
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models import MaskRCNN, postprocess, rpn
from ..models.transform import Size
from ..ops.backend import register_kernel
from ..ops.multiscale import pyramid_scales
from ..ops.nms import nms_mask
from ..ops.rois import Grid, Rois
from .files import metadata, trace, write_onnx
from .forms import roi_align_onnx, roi_pool_onnx, suppress_onnx
from .network import MAX_PAIRS, FixedNetwork
from .winograd import WinogradConvolution

POOLINGS = ("RoIAlign", "RoIPool")
INPUTS = ("image", "score_threshold", "nms_iou", "rpn_nms_iou", "pooling")
Seen = dict[str, list[tuple[tuple, Any]]]  # of every call by name: arguments and result


class StagedNetwork(FixedNetwork):
    """One image in, every stage out. To be called inside of `forms.exportable`.

    Args:
        model: in evaluation mode, with a mask branch and few enough classes for `select_static`;
            a copy is kept, whose `box.score_threshold` is 0, because a threshold after suppression
            leaves what one before it leaves.
        detections: rows of the detections.
        pool: from the input `pooling` and the arguments of `ops.roi_align.pool_rois` to the pooled
            features.

    Raises:
        ValueError: the network has no mask branch, or too many classes.
    """

    def __init__(self, model: MaskRCNN, detections: int, pool: Callable) -> None:
        pairs = model.config.rpn.post_nms_test**2 * (model.num_classes - 1)
        if not model.config.mask or pairs > MAX_PAIRS:
            raise ValueError("model has no mask branch or many classes; give one as `lite`")
        super().__init__(copy.deepcopy(model).eval())
        heads, self.pool = self.model.roi_heads, pool
        fixed = {"score_threshold": 0.0, "detections": detections}
        heads.config = heads.config.with_(box=fixed)
        for layer in heads.box_head.children():
            if isinstance(layer, nn.Sequential):
                layer[0] = WinogradConvolution(layer[0], heads.config.box.pooled_size)

    def forward(
        self,
        image: Tensor,
        score_threshold: Tensor,
        nms_iou: Tensor,
        rpn_nms_iou: Tensor,
        pooling: Tensor,
    ) -> dict[str, Tensor]:
        """Return the stages by name, see `proposing` and `detecting`; and of each level l

            features_l [C, h, w]; objectness_l [h, w], probabilities, of the best anchor.

        Args:
            image: Tensor[1, 3, H, W], RGB in 0..1.
            score_threshold: Tensor[]; a detection has more.
            nms_iou: Tensor[]; boxes of a class that overlap by more compete.
            rpn_nms_iou: Tensor[]; so do candidates of a level.
            pooling: Tensor[] int64, an index of `POOLINGS`.
        """
        rows = self.model.roi_heads.config.box.detections

        def pool(features: Sequence[Tensor], rois: Rois, *settings: Any) -> Tensor:
            if "postprocess.nms_mask" in seen:  # the mask branch, for what is found alone
                count = class_kept(seen, score_threshold).sum().clamp(1, rows).item()
                torch._check(count >= 1)
                torch._check(count <= rows)
                rois = Rois(*(x[:count] for x in rois))
            return self.pool(pooling, features, rois, *settings)

        def fill(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
            return filled(output, rows)

        register_kernel("roi_align", "cpu", pool)
        handle = self.model.roi_heads.mask_predictor.register_forward_hook(fill)
        with recorded(self.model, nms_iou, rpn_nms_iou) as seen:
            boxes, labels, scores, masks, _ = super().forward(image)
        handle.remove()
        (((features, *_), (proposals, valid, _)),) = seen["rpn"]
        ((_, (objectness, _)),) = seen["rpn.head"]
        stages = {f"features_{level}": x[0] for level, x in enumerate(features)}
        for level, x in enumerate(objectness):
            stages[f"objectness_{level}"] = x[0].sigmoid().amax(0)  # [h, w]
        stages |= proposing(seen, proposals[0], valid[0])
        found = scores > score_threshold.clamp(min=0)  # [N]; beyond the detections scores are 0
        stages |= {"boxes": boxes, "labels": labels, "scores": scores, "masks": masks}
        for name in ("boxes", "labels", "scores", "masks"):
            value = stages[name]
            stages[name] = value * found.view(-1, *[1] * (value.ndim - 1))
        stages["count"] = found.sum()
        stages |= detecting(seen, found, score_threshold)
        return {k: v.int() if v.dtype == torch.int64 else v for k, v in stages.items()}


def proposing(seen: Seen, proposals: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """From the N best anchors of all levels, before suppression, to R proposals.

    Returns:
        anchors [N, 4]; candidates [N, 4], the boxes that they became, level by level, each best
        first; candidate_scores [N], probabilities; candidate_level [N]; candidate_kept [N] bool,
        after suppression. proposals [R, 4], proposal_scores [R], proposal_source [R], the row of
        the candidates; proposal_count []; rows from there on are zero.
    """
    ((_, anchors), _) = seen["rpn.decode_boxes"][0]
    levels = [(*inputs[:2], keep) for inputs, keep in seen["rpn.nms_mask"]]
    candidates, scores, kept = (torch.cat(x, dim=1)[0] for x in zip(*levels, strict=True))
    level = torch.cat([torch.full_like(s[0], i).int() for i, (_, s, _) in enumerate(levels)])
    order = scores.masked_fill(~kept, -torch.inf).sort(descending=True, stable=True)
    source = order.indices[: len(valid)]  # [R]
    return {
        "anchors": anchors[0],
        "candidates": candidates,
        "candidate_scores": scores,
        "candidate_level": level,
        "candidate_kept": kept,
        "proposals": proposals * valid[:, None],
        "proposal_scores": scores[source] * valid,
        "proposal_source": source * valid,
        "proposal_count": valid.sum(),
    }


def detecting(seen: Seen, found: Tensor, score_threshold: Tensor) -> dict[str, Tensor]:
    """From R proposals to N detections, of which the first are `found` [N].

    Returns:
        box_pooled [R, C, P, P]; class_probabilities [R, classes], background first; class_boxes
        [R, classes - 1, 4], after regression; class_kept [R, classes - 1] bool, after threshold
        and suppression; detection_source [N], the row of the proposals; mask_pooled [N, C, P, P];
        mask_all [N, classes, M, M], the probabilities of every class.
    """
    (((logits, *_), (class_boxes, scores, _)),) = seen["postprocess.score_boxes"]
    logits, class_boxes, scores = logits[0], class_boxes[0], scores[0]  # of the one image
    kept = class_kept(seen, score_threshold)
    order = scores.masked_fill(~kept, -torch.inf).flatten().sort(descending=True, stable=True)
    source = order.indices[: len(found)] // scores.shape[1]  # [N]
    ((_, mask_logits),) = seen["roi_heads.mask_predictor"]
    ((_, pooled),) = seen["roi_heads.mask_roi_pool"]
    return {
        "box_pooled": seen["roi_heads.box_roi_pool"][0][1],
        "class_probabilities": logits.softmax(dim=-1),
        "class_boxes": class_boxes,
        "class_kept": kept,
        "detection_source": source * found,
        "mask_pooled": filled(pooled, len(found)) * found[:, None, None, None],
        "mask_all": mask_logits.sigmoid() * found[:, None, None, None],
    }


def class_kept(seen: Seen, score_threshold: Tensor) -> Tensor:
    """Which class's box of which proposal is a detection, bool [R, classes - 1]."""
    ((_, (_, scores, _)),) = seen["postprocess.score_boxes"]
    ((_, kept),) = seen["postprocess.nms_mask"]
    return kept[0].T & (scores[0] > score_threshold)  # of the one image


def filled(values: Tensor, rows: int) -> Tensor:
    """Values [n, C, P, P] with zeros up to `rows` of them."""
    return F.pad(values, (0, 0, 0, 0, 0, 0, 0, rows - values.shape[0]))  # [N, C, P, P]


@contextmanager
def recorded(model: MaskRCNN, nms_iou: Tensor, rpn_nms_iou: Tensor) -> Iterator[Seen]:
    """Inside the ``with`` every call at the seams is recorded, and suppression takes these
    thresholds."""
    seen: Seen = defaultdict(list)

    def listen(name: str, function: Callable) -> Callable:
        def call(*inputs: Any) -> Any:
            output = function(*inputs)
            seen[name].append((inputs, output))
            return output

        return call

    def at(iou: Tensor) -> Callable:
        return lambda boxes, scores, valid, _: nms_mask(boxes, scores, valid, iou)

    with ExitStack() as stack:
        for owner, name, function in (
            (rpn, "nms_mask", at(rpn_nms_iou)),
            (rpn, "decode_boxes", rpn.decode_boxes),
            (postprocess, "nms_mask", at(nms_iou)),
            (postprocess, "score_boxes", postprocess.score_boxes),
        ):
            key = f"{owner.__name__.rpartition('.')[2]}.{name}"
            stack.enter_context(patch.object(owner, name, listen(key, function)))
        for key in (
            "rpn",
            "rpn.head",
            "roi_heads.box_roi_pool",
            "roi_heads.mask_roi_pool",
            "roi_heads.mask_predictor",
        ):
            hook = partial(lambda key, _, *call: seen[key].append(call), key)
            handle = model.get_submodule(key).register_forward_hook(hook)
            stack.callback(handle.remove)
        yield seen


def pool_onnx(
    pooling: Tensor, features: Sequence[Tensor], rois: Rois, scales: Sequence[float], grid: Grid
) -> Tensor:
    """RoIAlign or RoIPool as ONNX's operators; the one that is not wanted gets no RoI."""
    aligned = (torch.ones_like(rois.image).sum() * (pooling == 0)).item()
    torch._check(aligned >= 0)
    torch._check(aligned <= rois.image.shape[0])
    first, rest = (
        Rois(*(x[rows] for x in rois)) for rows in (slice(aligned), slice(aligned, None))
    )
    pooled = (
        roi_align_onnx(features, first, scales, grid),
        roi_pool_onnx(features, rest, scales, grid),
    )
    return torch.cat(pooled)  # [K, C, P, P]


def export_stages(
    model: MaskRCNN, class_names: Sequence[str], path: str | Path, size: Size, detections: int = 20
) -> dict[str, Any]:
    """Write a network with its stages as an ONNX file for one image.

    Args and errors: see `export_onnx` and `StagedNetwork`.

    Returns:
        What a page must know to show them; the file says it too.
    """
    network = StagedNetwork(model, detections, pool_onnx)
    config, example = model.config, torch.zeros(1, 3, *size)
    given = config.box.score_threshold, config.box.nms_iou, config.rpn.nms_iou
    examples = example, *map(torch.tensor, given), torch.tensor(0)
    program = trace(network, examples, nms=suppress_onnx)
    values = [node.meta["val"] for node in program.graph.output_node().args[0]]
    names = list(program.call_spec.out_spec.unflatten([*range(len(values))]))
    with torch.no_grad():
        maps = [*model.features(example).values()]
    said = metadata(network.model, class_names, size, 1)
    said |= {
        "inputs": json.dumps(INPUTS),
        "outputs": json.dumps({k: [*v.shape] for k, v in zip(names, values, strict=True)}),
        "score_threshold": json.dumps(config.box.score_threshold),
        "rpn_nms_iou": json.dumps(config.rpn.nms_iou),
        "poolings": json.dumps(POOLINGS),
        "strides": json.dumps([round(1 / scale) for scale in pyramid_scales(maps, size)]),
        "anchor_sizes": json.dumps(config.rpn.anchor_sizes),
        "roi_levels": json.dumps(config.box.roi_levels),
        "box_sampling": json.dumps([config.box.sampling_ratio, config.box.aligned]),
        "mask_sampling": json.dumps([config.mask.sampling_ratio, config.mask.aligned]),
    }
    write_onnx(program, INPUTS, names, said, path)
    return {name: json.loads(text) for name, text in said.items()}
