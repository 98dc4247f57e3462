"""What a confidence branch reads before it says whether to stop.

EENet's reads the features alone (Demir & Akbas, arXiv 2409.05336); being linear, it cannot even
tell how sure the softmax branch is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.registry import Registry


@dataclass(frozen=True)
class Evidence:
    """A linear confidence branch's input.

    Attributes:
        width: its size, given how many numbers D the head's reader makes of the features.
        read: maps those (B, D) and the detached logits (B, K) to (B, width(D)).
    """

    width: Callable[[int], int]
    read: Callable[[Tensor, Tensor], Tensor]


EVIDENCE: Registry[Evidence] = Registry("evidence of a confidence branch")

EVIDENCE.register("features")(Evidence(lambda width: width, lambda features, logits: features))


def answer_summary(logits: Tensor) -> Tensor:
    """Tell how sure an answer is: logits (B, K) to (B, 3).

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
EVIDENCE.register("both")(Evidence(lambda width: width + 3, _both))


def _entropy(log_probabilities: Tensor) -> Tensor:
    terms = log_probabilities.exp() * log_probabilities
    return -terms.sum(dim=1) / math.log(log_probabilities.shape[1])
