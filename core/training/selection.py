"""How good an epoch is: by the accuracy–cost front, which is what is deployed."""

import numpy as np

from core.exits.table import BoolArray, FloatArray
from core.foundation.costs import Costs
from core.tuning.search import Problem, search

LEVELS = 64
"""Quantiles that an exit's scores are told apart by. So few make the search quick enough for every
epoch, and leave it fewer thresholds to fit to chance."""
COSTS = np.linspace(0, 1, 11)
"""Relative costs at which the front is read, from the cheapest exit (0) to the final one (1)."""


def front_accuracy(scores: FloatArray, right: BoolArray, costs: Costs) -> float:
    """Return the mean accuracy along a network's accuracy–cost front.

    For each of `COSTS`, the accuracy of the best thresholds that cost no more. The front is
    searched over thresholds between `LEVELS` quantiles of each exit's scores, see
    `core.tuning.search`.

    Args:
        scores: (N, E−1) scores of the early exits; a sample leaves where it exceeds a threshold.
        right: (N, E) whether each exit's answer is right.
        costs: of the E stages and heads.

    Returns:
        A fraction in [0, 1]; the accuracy where there is one exit.
    """
    levels = [_levels(column) for column in np.nan_to_num(scores).T]
    if not levels:
        return float(right.mean())
    points = search(Problem.of(np.stack(levels, axis=1), right, costs))
    cheapest, dearest = costs.at_exits()[[0, -1]]
    at = cheapest + COSTS * (dearest - cheapest)
    place = np.searchsorted(points.cost, at + 1e-9, "right") - 1
    return float(points.right[place].mean()) / len(right)


def _levels(scores: FloatArray) -> FloatArray:
    """Return the quantile that each score lies in, as a score above 0: any may be exceeded."""
    edges = np.quantile(scores, np.linspace(0, 1, LEVELS + 1)[1:-1], method="lower")
    return np.asarray(1 + np.searchsorted(np.unique(edges), scores), np.float64)
