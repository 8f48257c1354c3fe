"""Data sets: drawn shapes, images with annotations, transforms, batches.

A sample is an image ``Tensor[3, H, W]`` in 0..1 and a target: a dictionary with ``boxes``
``Tensor[G, 4]``, ``labels`` ``int64[G]``, ``masks`` ``uint8[G, H, W]``, ``image_id``, ``iscrowd``
``uint8[G]`` and ``area`` ``Tensor[G]``, in pixels of the (visible) mask. Where a set has keypoints,
``keypoints`` is ``Tensor[G, K, 3]``: x, y in continuous image coordinates, and COCO's visibility: 2
for a point that can be seen, 1 for one that is hidden, 0 for one that is not known (x = y = 0).
"""

from .coco import CocoDataset, open_dataset
from .keypoint_shapes import KeypointShapes
from .shapes import Shapes

__all__ = ["CocoDataset", "KeypointShapes", "Shapes", "open_dataset"]
