"""Data sets: drawn shapes, photographs with COCO annotations, transforms, batches."""

from .coco import CocoDataset
from .shapes import Shapes

__all__ = ["CocoDataset", "Shapes"]
