"""Temperature scaling: one temperature per exit, so that its probabilities match its accuracy.

Temperatures divide the logits. They change scores, and so exits, but never an answer. They are
fitted on the quarter of the calibration split that also lays paths (`core.tuning.path`), so that
whatever the rest proves afterwards stays proven.
"""

from dataclasses import dataclass

import numpy as np

from core.exits.criteria import CRITERIA
from core.exits.metrics import calibration_error, negative_log_likelihood
from core.exits.policy import Policy
from core.exits.table import CostArray, ExitTable, IntArray
from core.foundation.errors import UserError
from core.tuning.path import PATH_PART, split_rows

LOWEST, HIGHEST = 0.05, 20.0  # with answers all right or all wrong there is no finite optimum


def temperatures_for(table: ExitTable) -> tuple[float, ...]:
    """Return the temperatures (E) that `fit_temperatures` finds on a quarter of a table.

    Args:
        table: of the calibration split, with the probabilities of all classes.

    Raises:
        UserError: as `fit_temperatures`, or fewer samples than parts.
    """
    if len(table) < PATH_PART:
        raise UserError(
            f"expected a `table` with at least {PATH_PART} samples to fit temperatures on a part "
            f"of, but got {len(table)}."
        )
    return fit_temperatures(table.select(split_rows(len(table))[0]))


def calibrated(table: ExitTable, temperatures: tuple[float, ...] | None) -> ExitTable:
    """Return a table with its probabilities divided by temperatures; None: as it is.

    Raises:
        UserError: as `core.exits.policy.Policy.apply_temperatures`.
    """
    early = table.num_exits - 1
    return Policy("max_probability", [1.0] * early, None, temperatures).apply_temperatures(table)


@dataclass(frozen=True)
class ProbabilityQuality:
    """How well the probabilities of E exits match how often they are right; lower is better.

    Attributes:
        negative_log_likelihood: ``(E,)`` mean of −ln of the label's probability.
        calibration_error: ``(E,)`` expected calibration error of the answer's probability, 15 bins.
    """

    negative_log_likelihood: tuple[float, ...]
    calibration_error: tuple[float, ...]


def probability_quality(
    table: ExitTable, temperatures: tuple[float, ...] | None = None
) -> ProbabilityQuality:
    """Return the quality of a table's probabilities with temperatures; None: without.

    Raises:
        UserError: as `calibrated`, or the table was stored without logarithms.
    """
    table = calibrated(table, temperatures)
    table = table if table.labelled.all() else table.select(table.labelled)
    errors = [
        calibration_error(
            CRITERIA["max_probability"].score(table, exit_index), table.right[:, exit_index]
        )
        for exit_index in range(table.num_exits)
    ]
    return ProbabilityQuality(tuple(negative_log_likelihood(table).tolist()), tuple(errors))


def fit_temperatures(table: ExitTable) -> tuple[float, ...]:
    """Return the temperatures (E) that minimise the negative log-likelihood at each exit.

    Exit by exit, with z = ln p and the labels y, the minimum over T in [0.05, 20] of

        mean [ ln Σ_k exp(z_k / T) − z_y / T ],

    which is convex in 1/T, so it lies where the slope changes sign (Guo et al., arXiv 1706.04599).
    An exit that gives every class the same probability keeps 1. Samples without a label are left
    out; a probability of 0 counts as half the smallest one above it at that exit.

    Args:
        table: with the probabilities of all classes, of no split that results are reported on.

    Returns:
        What `Policy` takes as ``temperatures``; the final exit is included.

    Raises:
        UserError: the table has only the top classes, was stored without logarithms, or has no
            labelled sample.
    """
    labelled = table.labelled
    if not labelled.any():
        raise UserError(
            "expected a `table` with labels to fit temperatures, but none of its "
            f"{len(table)} samples has one."
        )
    logits, labels = table.logarithms()[labelled].astype(np.float64), table.labels[labelled]
    return tuple(_fit(logits[:, exit_index], labels) for exit_index in range(table.num_exits))


def _fit(logits: CostArray, labels: IntArray) -> float:
    floor = logits[np.isfinite(logits)].min() - np.log(2)
    logits = np.maximum(logits, floor)  # (N, K)
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
