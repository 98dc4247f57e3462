"""Confidence intervals of an accuracy, and of the difference of two accuracies on the same images.

In a pair, an image is a *loss* where the reference is right and the policy wrong, a *gain* where it
is the other way round. All other images say nothing about the difference.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from core.exits.table import CostArray

CONFIDENCE = 0.95

_STEPS = 40  # of bisection


def accuracy_interval(
    right: int, samples: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the Wilson score interval of an accuracy.

    Args:
        right: number of right answers.
        samples: number of images, at least 1.
        confidence: two-sided, in (0, 1).
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = right / samples, z * z / samples
    centre = share + spread / 2
    half = (spread * (share * (1 - share) + spread / 4)) ** 0.5
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


def difference_interval(
    losses: int, gains: int, samples: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return Tango's score interval of a paired difference of accuracies, policy less reference.

    Tango, Statistics in Medicine 17:891, 1998: the differences that `score_statistic` does not
    reject.

    Args:
        losses: number of images on which only the reference is right.
        gains: number of images on which only the policy is right.
        samples: number of all images, at least 1.
        confidence: two-sided, in (0, 1).
    """
    one_sided = (1 + confidence) / 2
    return (
        -largest_drop(losses, gains, samples, one_sided),
        largest_drop(gains, losses, samples, one_sided),
    )


def largest_drop(losses: int, gains: int, samples: int, confidence: float) -> float:
    """Return the largest drop that `score_statistic` does not reject, one-sided."""
    z = NormalDist().inv_cdf(confidence)
    low, high = (losses - gains) / samples, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if score_statistic(losses, gains, samples, middle) > -z:
            low = middle
        else:
            high = middle
    return high


def score_statistic(losses: ArrayLike, gains: ArrayLike, samples: int, drop: float) -> CostArray:
    """Return Tango's score statistic of "the drop is ``drop``": about standard normal if it is.

    (losses − gains − n·drop) / √(n (2g + drop (1 − drop))), with g the likeliest share of gains
    under that drop. With a drop of 0 it is McNemar's. Where nothing can vary it is 0.

    Args:
        losses: numbers of any shape, see the module.
        gains: likewise.
        samples: n.
        drop: in [-1, 1]; accuracy of the reference less that of the policy.
    """
    losses, gains = np.asarray(losses, np.float64), np.asarray(gains, np.float64)
    if drop < 0:
        return -score_statistic(gains, losses, samples, -drop)
    linear = (2 * samples - losses + gains) * drop - losses - gains
    root = np.sqrt(linear**2 + 8 * samples * gains * drop * (1 - drop))
    share_of_gains = (root - linear) / (4 * samples)
    variance = samples * (2 * share_of_gains + drop * (1 - drop))
    excess = losses - gains - samples * drop
    statistic: CostArray = np.divide(
        excess, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0
    )
    return statistic


def mean_interval(values: CostArray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return mean ± z · standard deviation / √N of values ``(N,)``, N at least 1."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    mean, half = float(values.mean()), z * float(values.std()) / len(values) ** 0.5
    return mean - half, mean + half
