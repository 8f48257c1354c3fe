"""How large each step is: a warm-up, a plateau, and a cosine down to zero."""

import math

from torch import nn, optim

from ..config import TrainingConfig


def learning_rate(step: int, progress: float, config: TrainingConfig) -> float:
    """Return the learning rate of a step.

    The warm-up counts steps, because it protects the first few updates; the decay follows the
    progress of the run, so that a run of 300 seconds ends at zero on a slow machine as on a fast
    one.

    Args:
        step: steps done. progress: share of the run that is done, 0..1.
        config: learning_rate, warmup_steps, decay_fraction.
    """
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    left = min(
        1.0, max(0.0, 1.0 - progress) / max(config.decay_fraction, 1e-9)
    )  # 1 on the plateau, 0 at the end
    return config.learning_rate * warmup * 0.5 * (1 - math.cos(math.pi * left))


def make_optimizer(model: nn.Module, config: TrainingConfig) -> optim.Optimizer:
    """Return AdamW or SGD; norms and biases (vectors) carry no weight decay.

    Raises:
        ValueError: `config.optimizer` is neither "adamw" nor "sgd".
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "adamw":
        return optim.AdamW(groups, lr=config.learning_rate, fused=True)
    if config.optimizer == "sgd":
        return optim.SGD(groups, lr=config.learning_rate, momentum=0.9, fused=True)
    raise ValueError(f"config.training.optimizer is {config.optimizer!r}; choose 'adamw' or 'sgd'")
