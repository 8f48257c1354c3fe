"""The network, one file per box of the paper's figures."""

from .anchors import AnchorGenerator
from .box_head import FastRCNNPredictor
from .filled_masks import fill_masks
from .keypoint_head import KeypointHead, KeypointRCNNPredictor
from .loading import load_weights
from .mask_head import MaskHead, MaskHeadC4, MaskRCNNPredictor
from .mask_rcnn import MaskRCNN, maskrcnn_lite
from .rpn import RPNHead
from .torchvision_names import (
    keypointrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from .weights import WEIGHTS, check_fits, read_weights, save_weights

__all__ = [
    "WEIGHTS",
    "AnchorGenerator",
    "FastRCNNPredictor",
    "KeypointHead",
    "KeypointRCNNPredictor",
    "MaskHead",
    "MaskHeadC4",
    "MaskRCNN",
    "MaskRCNNPredictor",
    "RPNHead",
    "check_fits",
    "fill_masks",
    "keypointrcnn_resnet50_fpn",
    "load_weights",
    "maskrcnn_lite",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "read_weights",
    "save_weights",
]
