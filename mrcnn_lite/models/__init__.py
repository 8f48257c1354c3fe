"""The network, one file per box of the paper's figures."""

from .mask_head import MaskHead, MaskHeadC4, MaskPredictor
from .mask_rcnn import MaskRCNN, maskrcnn_lite, maskrcnn_resnet50_fpn
from .weights import load_weights, save_weights

__all__ = [
    "MaskHead",
    "MaskHeadC4",
    "MaskPredictor",
    "MaskRCNN",
    "load_weights",
    "maskrcnn_lite",
    "maskrcnn_resnet50_fpn",
    "save_weights",
]
