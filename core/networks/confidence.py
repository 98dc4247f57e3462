"""What a confidence branch reads to decide whether to stop.

EENet's reads the features alone (Demir & Akbas, arXiv 2409.05336); being linear, it cannot even
tell how sure the softmax branch is. JEI-DNN's reads nothing but that (arXiv 2310.09163).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.foundation.registry import Registry


@dataclass(frozen=True)
class ConfidenceInput:
    """A linear confidence branch's input.

    Attributes:
        width: its size, given how many numbers D the head's reader makes of the features.
        read: maps those (B, D) and the detached logits (B, K) to (B, width(D)).
    """

    width: Callable[[int], int]
    read: Callable[[Tensor, Tensor], Tensor]


CONFIDENCE_INPUTS: Registry[ConfidenceInput] = Registry("confidence branch's input")

CONFIDENCE_INPUTS.register("features")(
    ConfidenceInput(lambda width: width, lambda features, logits: features)
)


def answer_summary(logits: Tensor) -> Tensor:
    """Return features of an answer's confidence: logits (B, K) to (B, 3).

    The log odds of the likeliest class, the logit gap to the runner-up (both at most 20) and the
    entropy in units of ln K.
    """
    log_probabilities = logits.float().log_softmax(dim=1)
    best, second = log_probabilities.topk(2, dim=1).values.unbind(dim=1)
    rest = torch.log1p(-best.exp().clamp(max=1 - 1e-7))
    entropy = _entropy(log_probabilities)
    return torch.stack([(best - rest).clamp(max=20), (best - second).clamp(max=20), entropy], 1)


def _both(features: Tensor, logits: Tensor) -> Tensor:
    return torch.cat([features, answer_summary(logits).to(features.dtype)], dim=1)


# At least as able as max probability, entropy and margin.
CONFIDENCE_INPUTS.register("both")(ConfidenceInput(lambda width: width + 3, _both))


def gate_features(logits: Tensor) -> Tensor:
    """Return what a gate of JEI-DNN sees of an answer y: logits (B, K) to (B, 4).

    max y, the entropy of y, the margin of the top two, and the entropy of y² / Σ y²; entropies in
    units of ln K.
    """
    log_probabilities = logits.float().log_softmax(dim=1)
    best, second = log_probabilities.topk(2, dim=1).values.exp().unbind(dim=1)
    squared = (2 * log_probabilities).log_softmax(dim=1)
    return torch.stack([best, _entropy(log_probabilities), best - second, _entropy(squared)], 1)


def _gate(features: Tensor, logits: Tensor) -> Tensor:
    return gate_features(logits).to(features.dtype)


CONFIDENCE_INPUTS.register("answer")(ConfidenceInput(lambda width: 4, _gate))


def _entropy(log_probabilities: Tensor) -> Tensor:
    terms = log_probabilities.exp() * log_probabilities
    return -terms.sum(dim=1) / math.log(log_probabilities.shape[1])
