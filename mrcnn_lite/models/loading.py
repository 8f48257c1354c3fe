"""From trained weights to the network that they belong to."""

from pathlib import Path

from ..config import resnet50_fpn, resnet50_fpn_v2
from .mask_rcnn import MaskRCNN
from .pretrained import COCO, COCO_KEYPOINTS, COCO_V2, published, read_published
from .weights import check_fits, read_weights

PUBLISHED = {  # by torchvision, and for which config
    COCO: resnet50_fpn().with_(backbone={"norm_eps": 0.0}),
    COCO_KEYPOINTS: resnet50_fpn(2).with_(mask=None, keypoint={}, backbone={"norm_eps": 0.0}),
    COCO_V2: resnet50_fpn_v2(),
}


def load_weights(path: str | Path) -> tuple[MaskRCNN, list[str]]:
    """Build the network that a weights file describes.

    Args:
        path: of a file that `save_weights` wrote, or the folder of a run; or "DEFAULT", the weights
            of COCO from torchvision (or their name, `MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1`).

    Returns:
        The model in evaluation mode, and its class names (index 0 is "background").

    Raises:
        FileNotFoundError, ValueError: the file is missing, damaged (every changed bit is seen) or
            from another program; or torchvision's is not in its cache and cannot be fetched.
    """
    enum, _, name = str(path).rpartition(".")
    if (enum or COCO) in PUBLISHED and name in ("DEFAULT", "COCO_V1"):
        member, config = published(enum or COCO, name), PUBLISHED[enum or COCO]
        class_names, tensors = member.meta["categories"], read_published(member)
        class_names = ["background", *class_names[1:]]  # torchvision calls it "__background__"
    else:
        config, class_names, tensors = read_weights(path)
    model = MaskRCNN(config)
    check_fits(str(path), model, tensors)
    model.load_state_dict(tensors, strict=False)
    return model.eval(), class_names
