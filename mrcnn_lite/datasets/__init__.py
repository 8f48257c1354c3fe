"""Data sets: drawn shapes, photographs with COCO annotations, transforms, batches."""
