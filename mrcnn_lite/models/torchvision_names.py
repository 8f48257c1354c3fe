"""torchvision's constructors: the same names, the same keywords, the same networks.

Change the import, and `maskrcnn_resnet50_fpn(weights="DEFAULT")` or `...(num_classes=3,
min_size=400)` gives this package's network. Nothing is downloaded unless `weights` or
`weights_backbone` asks for torchvision's published numbers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..config import Config, resnet50_fpn, resnet50_fpn_v2
from .mask_rcnn import MaskRCNN
from .pretrained import (
    COCO,
    COCO_KEYPOINTS,
    COCO_V2,
    IMAGENET,
    is_path,
    published,
    read_published,
    read_state,
    wants_no_eps,
)
from .rpn import RPNHead
from .weights import check_fits

# torchvision's keyword -> (section, field) of the config.
KEYWORDS = {
    "min_size": ("image", "min_size"),
    "max_size": ("image", "max_size"),
    "image_mean": ("image", "mean"),
    "image_std": ("image", "std"),
    "size_divisible": ("image", "size_divisible"),
    "rpn_pre_nms_top_n_train": ("rpn", "pre_nms_train"),
    "rpn_pre_nms_top_n_test": ("rpn", "pre_nms_test"),
    "rpn_post_nms_top_n_train": ("rpn", "post_nms_train"),
    "rpn_post_nms_top_n_test": ("rpn", "post_nms_test"),
    "rpn_nms_thresh": ("rpn", "nms_iou"),
    "rpn_fg_iou_thresh": ("rpn", "foreground_iou"),
    "rpn_bg_iou_thresh": ("rpn", "background_iou"),
    "rpn_batch_size_per_image": ("rpn", "samples"),
    "rpn_positive_fraction": ("rpn", "positive_fraction"),
    "rpn_score_thresh": ("rpn", "score_threshold"),
    "box_score_thresh": ("box", "score_threshold"),
    "box_nms_thresh": ("box", "nms_iou"),
    "box_detections_per_img": ("box", "detections"),
    "box_fg_iou_thresh": ("box", "foreground_iou"),
    "box_bg_iou_thresh": ("box", "background_iou"),
    "box_batch_size_per_image": ("box", "samples"),
    "box_positive_fraction": ("box", "positive_fraction"),
    "bbox_reg_weights": ("box", "code_weights"),
    "num_keypoints": ("keypoint", "count"),
}
# torchvision's keyword -> what is set on the network once it is built; modules before weights.
ATTRIBUTES = {
    "fixed_size": "transform.fixed_size",
    "_skip_resize": "transform._skip_resize",
    "rpn_anchor_generator": "rpn.anchor_generator",
    "rpn_head": "rpn.head",
    "box_roi_pool": "roi_heads.box_roi_pool",
    "box_head": "roi_heads.box_head",
    "box_predictor": "roi_heads.box_predictor",
    "mask_roi_pool": "roi_heads.mask_roi_pool",
    "mask_head": "roi_heads.mask_head",
    "mask_predictor": "roi_heads.mask_predictor",
    "keypoint_roi_pool": "roi_heads.keypoint_roi_pool",
    "keypoint_head": "roi_heads.keypoint_head",
    "keypoint_predictor": "roi_heads.keypoint_predictor",
}
KEYPOINT_SIZES = (640, 672, 704, 736, 768, 800)  # of which training draws one


def maskrcnn_resnet50_fpn(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    **settings: Any,
) -> MaskRCNN:
    """Return torchvision's network of that name: the paper's R50-FPN.

    As in torchvision, the batch norms are frozen and 3 of the 5 stages train when weights are
    given; untrained, all of it trains. Unlike there, the backbone's weights are not downloaded
    unless asked for.

    Args:
        weights: None; torchvision's enum or its name, such as "DEFAULT" (read from its cache, or
            downloaded); or the path of a state dict, `.pth` or `.safetensors`.
        progress: show a download's progress.
        num_classes: background included; 91 (COCO) or what the weights have by default.
        weights_backbone: the same for an ImageNet ResNet-50; not used when `weights` is given.
        trainable_backbone_layers: stages that train, counted from the top, 0 to 5.
        settings: torchvision's other keywords, see `KEYWORDS` and `ATTRIBUTES`.

    Raises:
        TypeError: an unknown keyword.
        ValueError: weights that cannot be had, or that have another number of classes.
    """
    config, sources = resnet50_fpn(), (weights, weights_backbone, progress)
    return _build(config, COCO, *sources, num_classes, trainable_backbone_layers, settings)


def maskrcnn_resnet50_fpn_v2(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    **settings: Any,
) -> MaskRCNN:
    """Return torchvision's improved network, another configuration of the same code; for arguments
    and errors see `maskrcnn_resnet50_fpn`."""
    config, sources = resnet50_fpn_v2(), (weights, weights_backbone, progress)
    return _build(config, COCO_V2, *sources, num_classes, trainable_backbone_layers, settings)


def keypointrcnn_resnet50_fpn(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    torchvisions_points: bool = False,
    **settings: Any,
) -> MaskRCNN:
    """Return torchvision's network of that name: keypoints instead of masks. For other arguments
    and errors see `maskrcnn_resnet50_fpn`.

    Args:
        num_classes: 2 by default, a person or the background; `num_keypoints`: 17.
        torchvisions_points: whether points are put into cells and found in maps by torchvision's
            rules, with its numbers; see `keypoint_targets` and `decode_keypoints`.
    """
    rules = {"decoder": "torchvision", "closed_edge": True} if torchvisions_points else {}
    config = resnet50_fpn(2).with_(mask=None, keypoint=rules)
    settings["min_size"] = settings.get("min_size") or KEYPOINT_SIZES
    sources = COCO_KEYPOINTS, weights, weights_backbone, progress
    return _build(config, *sources, num_classes, trainable_backbone_layers, settings)


def _build(
    config: Config,
    enum: str,
    weights: Any,
    weights_backbone: Any,
    progress: bool,
    num_classes: int | None,
    trainable: int | None,
    settings: dict[str, Any],
) -> MaskRCNN:
    """Write torchvision's keywords into a config, build its network and fill it."""
    if trainable is not None and trainable not in range(6):
        raise ValueError(f"trainable_backbone_layers is {trainable}; give 0 to 5")
    if weights is None and weights_backbone is None:  # frozen random stages would never learn
        trainable, config = 5, config.with_(backbone={"norm": "batch"})
    if weights is not None and enum != COCO_V2 and wants_no_eps(weights, enum):
        config = config.with_(backbone={"norm_eps": 0.0})
    if trainable is not None:
        config = config.with_(backbone={"trainable_layers": trainable})
    if unknown := {*settings} - {*KEYWORDS, *ATTRIBUTES}:
        known = ", ".join(sorted({*KEYWORDS, *ATTRIBUTES}))
        raise TypeError(f"unknown keyword {sorted(unknown)[0]!r}; known: {known}")
    # None is torchvision's way to say "the default".
    settings = {keyword: value for keyword, value in settings.items() if value is not None}
    if isinstance(settings.get("min_size"), Sequence):  # in training one of them is drawn
        config = config.with_(image={"train_min_sizes": settings["min_size"]})
        settings["min_size"] = [0, *settings["min_size"]][-1]  # 0 is refused
    points = settings.get("num_keypoints")
    for keyword in {*settings} & {*KEYWORDS}:
        section, field = KEYWORDS[keyword]
        config = config.with_(**{section: {field: settings.pop(keyword)}})
    if num_classes is not None:
        config = config.with_(num_classes=num_classes)
    if weights is None:
        model = _network(config, settings)
        if weights_backbone is not None:
            state = _state(weights_backbone, IMAGENET, progress)
            state = {name: value for name, value in state.items() if not name.startswith("fc.")}
            check_fits(f"weights_backbone {weights_backbone}", model.backbone.body, state)
            model.backbone.body.load_state_dict(state, strict=False)
        return model
    state = _state(weights, enum, progress)
    stored = len(state.get("roi_heads.box_predictor.cls_score.bias", ()))
    if num_classes not in (None, stored) and stored:
        raise ValueError(
            f"num_classes is {num_classes}, but the weights have {stored}; load them as they are, "
            "then replace roi_heads.box_predictor and roi_heads.mask_predictor"
        )
    maps = state.get("roi_heads.keypoint_predictor.kps_score_lowres.bias", ())
    if config.keypoint and points is None and len(maps):
        config = config.with_(keypoint={"count": len(maps)})
    model = _network(config.with_(num_classes=stored or config.num_classes), settings)
    check_fits(f"weights {weights}", model, state)
    model.load_state_dict(state, strict=False)
    return model


def _network(config: Config, attributes: dict[str, Any]) -> MaskRCNN:
    """Build a network and set its `ATTRIBUTES`; heads fit the anchors and pools that are given."""
    if "box_roi_pool" in attributes:
        pooled_size = attributes["box_roi_pool"].output_size[0]
        config = config.with_(box={"pooled_size": pooled_size})
    model = MaskRCNN(config)
    if "rpn_anchor_generator" in attributes and "rpn_head" not in attributes:
        count = attributes["rpn_anchor_generator"].num_anchors_per_location()[0]
        model.rpn.head = RPNHead(model.backbone.out_channels, count, config.rpn.convs)
    for keyword, value in attributes.items():
        module, _, name = ATTRIBUTES[keyword].partition(".")
        setattr(getattr(model, module), name, value)
    return model


def _state(weights: Any, enum: str, progress: bool) -> dict[str, Tensor]:
    """Read a state dict from a file, or from torchvision's cache or server."""
    if is_path(weights):
        return read_state(Path(weights))
    return read_published(published(enum, weights), progress)
