"""Training: one readable loop, its schedule, its checkpoints, and several processes."""

from .distributed import default_workers, launch
from .loop import train
from .recipe import fit_config, open_data, training_batches
from .run import TrainingRun

__all__ = [
    "TrainingRun",
    "default_workers",
    "fit_config",
    "launch",
    "open_data",
    "train",
    "training_batches",
]
