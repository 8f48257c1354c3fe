"""Data sets: drawn shapes, images with annotations, transforms, batches.

A sample is an image ``Tensor[3, H, W]`` in 0..1 and a target: a dictionary with ``boxes``
``Tensor[G, 4]``, ``labels`` ``int64[G]``, ``masks`` ``uint8[G, H, W]``, ``image_id``, ``iscrowd``
``uint8[G]`` and ``area`` ``Tensor[G]``, in pixels of the (visible) mask.
"""

from .coco import CocoDataset, open_dataset
from .shapes import Shapes

__all__ = ["CocoDataset", "Shapes", "open_dataset"]
