"""Heads and gates that learn in turns, each knowing of the other (JEI-DNN, arXiv 2310.09163)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.training.losses.batch import LOSSES, LossInputs


@LOSSES.register("gates")
def gates(batch: LossInputs) -> Tensor:
    """Σ_i BCE(g_i, [l* <= i]) with l* = argmin_l (NLL_l + λ c_l); the heads do not move.

    An exit should let go whom it, or one before it, serves best. Positives and negatives of a gate
    weigh the same, by their rate in the batch.
    """
    logits = batch.confidences()
    with torch.no_grad():
        best = (batch.lambda_cost * batch.costs - batch.likelihoods()).argmin(dim=1)
        places = torch.arange(logits.shape[1], device=logits.device)
        target = (best[:, None] <= places).to(logits.dtype)  # (B, E-1)
        positives = target.mean(dim=0).clamp(0.02, 0.98)
        weights = target / positives + (1 - target) / (1 - positives)
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (losses * weights).mean(dim=0).sum() / 2


@LOSSES.register("gated")
def gated(batch: LossInputs) -> Tensor:
    """Σ_l P_l NLL_l, P_l the probability that the gates let a sample leave at l; gates stay.

    P_l = max(0, min(g_l, 1 − Σ_{j<l} g_j)), the rest at the end; each sample's weights are scaled
    to a mean of 1 over the early exits, so that samples that mostly go on still teach them. The
    final exit is part of the frozen network.
    """
    shares = leaving(batch.confidences().detach().sigmoid())
    weights = shares / shares.mean(dim=1, keepdim=True).clamp(min=0.05)
    return -(weights * batch.likelihoods()[:, :-1]).sum(dim=1).mean()


def leaving(gates: Tensor) -> Tensor:
    """Return P_l, the probability of leaving at each early exit: gates g (B, E−1) to (B, E−1)."""
    before = gates.cumsum(dim=1) - gates
    return torch.minimum(gates, 1 - before).clamp(min=0)
