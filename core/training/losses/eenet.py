"""EENet's losses v1 to v4, which make computation part of the price (arXiv 2409.05336).

Throughout, z_i are an exit's logits, y_i its softmax, h_i its learned confidence (1 at the final
exit) and c_i its relative cost. Only the true class of a mixture is ever needed, so every mixture
is a scalar per sample, computed in log space:
log Ŷ_i[y] = logaddexp(log h_i + log y_i[y], log(1 − h_i) + log Ŷ_{i+1}[y]).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.training.losses.batch import LOSSES, LossInputs


def mixtures(
    likelihoods: Tensor, confidence_logits: Tensor, costs: Tensor
) -> tuple[Tensor, Tensor]:
    """Blend exits from the back: log Ŷ_i[y] and Ĉ_i for every exit.

    Args:
        likelihoods: (B, E) log y_i[y].
        confidence_logits: (B, E−1) g_i, with h_i = σ(g_i).
        costs: (E,) c_i.

    Returns:
        log Ŷ_i[y] (B, E) and Ĉ_i (B, E).
    """
    log_stop = F.logsigmoid(confidence_logits)
    log_go_on = F.logsigmoid(-confidence_logits)
    stop = confidence_logits.sigmoid()
    blended = [likelihoods[:, -1]]
    expected = [costs[-1].expand(likelihoods.shape[0])]
    for i in reversed(range(confidence_logits.shape[1])):
        here = log_stop[:, i] + likelihoods[:, i]
        blended.append(torch.logaddexp(here, log_go_on[:, i] + blended[-1]))
        expected.append(stop[:, i] * costs[i] + (1 - stop[:, i]) * expected[-1])
    return torch.stack(blended[::-1], dim=1), torch.stack(expected[::-1], dim=1)


@LOSSES.register("v1")
def v1(batch: LossInputs) -> Tensor:
    """NLL(Ŷ_0) + λ · mean Ĉ_0."""
    blended, expected = mixtures(batch.likelihoods(), batch.confidences(), batch.costs)
    return -blended[:, 0].mean() + batch.lambda_cost * expected[:, 0].mean()


@LOSSES.register("v2")
def v2(batch: LossInputs) -> Tensor:
    """Σ_i [NLL(Ŷ_i) + λ · mean Ĉ_i], the paper's main loss."""
    blended, expected = mixtures(batch.likelihoods(), batch.confidences(), batch.costs)
    return (-blended + batch.lambda_cost * expected).sum(dim=1).mean()


@LOSSES.register("v3")
def v3(batch: LossInputs) -> Tensor:
    """Σ_i w_i (NLL(y_i) + λ c_i), w_i the batch mean of h_i over its sum (h_{E−1} = 1)."""
    means = batch.confidences().sigmoid().mean(dim=0)
    shares = torch.cat([means, means.new_ones(1)])
    shares = shares / shares.sum()
    losses = -batch.likelihoods().mean(dim=0) + batch.lambda_cost * batch.costs
    return (shares * losses).sum()


def assign_tags(likelihoods: Tensor, costs: Tensor, lambda_cost: float) -> Tensor:
    """Assign each sample to its cheapest good exit: argmin_i (NLL_i + λ c_i), (B, E) to (B,)."""
    return (lambda_cost * costs - likelihoods).argmin(dim=1)


@LOSSES.register("v4")
def v4(batch: LossInputs) -> Tensor:
    """NLL at the tagged exit + λ · its cost + Σ_i class-balanced BCE(h_i, [tag = i]).

    Class-balanced: positives and negatives of an exit weigh the same, whatever their number.
    """
    tags = batch.tags
    if tags is None:
        raise ValueError("v4 needs tags: (B,) exit indices, but got None")
    logits = batch.confidences()
    at_tag = batch.likelihoods().gather(1, tags[:, None]).squeeze(1)
    target = F.one_hot(tags, batch.logits.shape[1])[:, :-1].to(logits.dtype)
    positives = target.sum(dim=0).clamp(min=1)
    negatives = (1 - target).sum(dim=0).clamp(min=1)
    weights = target / positives + (1 - target) / negatives
    balanced = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weights / 2
    return (batch.lambda_cost * batch.costs[tags] - at_tag).mean() + balanced.sum()
