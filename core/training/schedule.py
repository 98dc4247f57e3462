"""The learning rate over a phase of training."""

import math

from core.training.recipe import Phase


def learning_rate(phase: Phase, progress: float) -> float:
    """Return the rate at ``progress`` in [0, 1) of a phase."""
    if progress < phase.warmup:
        return phase.learning_rate * (progress / phase.warmup * 0.95 + 0.05)
    done = (progress - phase.warmup) / (1 - phase.warmup)
    match phase.schedule:
        case "cosine":
            return phase.learning_rate * (1 + math.cos(math.pi * done)) / 2
        case "step":
            return phase.learning_rate * 0.1 ** ((done >= 0.5) + (done >= 0.75))
        case "constant":
            return phase.learning_rate
