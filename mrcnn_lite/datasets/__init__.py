"""Data sets: drawn shapes, photographs with COCO annotations, transforms, batches."""

from .coco import CocoDataset
from .formats import open_dataset
from .shapes import Shapes

__all__ = ["CocoDataset", "Shapes", "open_dataset"]
