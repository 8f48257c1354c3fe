"""Mask R-CNN, written to be read, and fast enough to train on a laptop.

Shape letters, used in every comment of the package:

    B  images in a batch           G  ground-truth objects of an image
    R  boxes per image             P  pooled size (7 for boxes, 14 for masks)
    K  RoIs of the whole batch     S  samples per bin and axis
    C  channels                    M  mask size (28)
    H  image height                h  feature-map height
    W  image width                 w  feature-map width
    A  anchors                     L  pyramid levels
    N  anything counted locally

Boxes are (x1, y1, x2, y2) in continuous image coordinates, half open. Images are [3, H, W] in 0..1,
masks [N, H, W]. Class 0 is the background.
"""

from .ops.backend import backend, set_backend, use_backend

__version__ = "0.2.0"

__all__ = ["backend", "set_backend", "use_backend"]
