"""Training: one readable loop, its schedule, its checkpoints, and several processes."""

from .loop import TrainingRun, train

__all__ = ["TrainingRun", "train"]
