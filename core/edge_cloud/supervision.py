"""What an exit learns from by itself."""

import torch.nn.functional as F
from torch import Tensor

from core.training.recipe import Phase


def own_loss(logits: Tensor, labels: Tensor, phase: Phase, exit_index: int) -> Tensor:
    """Return the cross entropy of one exit, times its weight in the phase.

    Args:
        logits: (B, K).
        labels: (B,).
        phase: with the exits' weights and how far the labels are smoothed.
        exit_index: which exit it is.
    """
    weight = 1.0 if phase.exit_weights is None else phase.exit_weights[exit_index]
    return weight * F.cross_entropy(logits.float(), labels, label_smoothing=phase.label_smoothing)
