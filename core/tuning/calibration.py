"""Temperature scaling: one temperature per exit, so that its probabilities match its accuracy."""

import numpy as np

from core.exits.table import CostArray, ExitTable, IntArray
from core.foundation.errors import UserError

LOWEST, HIGHEST = 0.05, 20.0  # with answers all right or all wrong there is no finite optimum


def fit_temperatures(table: ExitTable) -> tuple[float, ...]:
    """Return the temperatures (E) that minimise the negative log-likelihood at each exit.

    Exit by exit, with z = ln p and the labels y, the minimum over T in [0.05, 20] of

        mean [ ln Σ_k exp(z_k / T) − z_y / T ],

    which is convex in 1/T, so it lies where the slope changes sign (Guo et al., arXiv 1706.04599).
    An exit that gives every class the same probability keeps 1. Temperatures never change an
    answer. Samples without a label are left out; a probability of 0 counts as half the smallest
    one above it at that exit.

    Args:
        table: of the calibration split, with the probabilities of all classes.

    Returns:
        What `Policy` takes as ``temperatures``; the final exit is included.

    Raises:
        UserError: the table has only the top classes, or no labelled sample.
    """
    if table.top_classes is not None:
        raise UserError(
            "expected a `table` with all classes to fit temperatures, but got one that keeps the "
            f"top {table.probabilities.shape[2]} of {table.num_classes}; make it by running the "
            "network."
        )
    labelled = table.labelled
    if not labelled.any():
        raise UserError(
            "expected a `table` with labels to fit temperatures, but none of its "
            f"{len(table)} samples has one."
        )
    labels = table.labels[labelled]
    return tuple(
        _fit(table.probabilities[labelled, exit_index].astype(np.float64), labels)
        for exit_index in range(table.num_exits)
    )


def _fit(probabilities: CostArray, labels: IntArray) -> float:
    floor = probabilities[probabilities > 0].min() / 2
    logits = np.log(np.maximum(probabilities, floor))  # (N, K)
    logits -= logits.max(axis=1, keepdims=True)
    if not logits.any():
        return 1.0
    label_logit = logits[np.arange(len(labels)), labels].mean()

    def slope(inverse: float) -> float:
        """The derivative of the loss in 1/T, which rises with 1/T."""
        weights = np.exp(logits * inverse)
        expected = (weights * logits).sum(axis=1) / weights.sum(axis=1)
        return float(expected.mean() - label_logit)

    if slope(1 / LOWEST) <= 0:
        return LOWEST
    if slope(1 / HIGHEST) >= 0:
        return HIGHEST
    from scipy.optimize import brentq  # takes half a second to import

    return float(1 / brentq(slope, 1 / HIGHEST, 1 / LOWEST))
