"""Thresholds from the accuracy of validation samples with similar scores.

PCEE, performance control in early exiting (Mofakhami et al., arXiv 2412.19325): a confidence score
is no accuracy, so a threshold is set where the accuracy of validation samples with similar scores
reaches a given accuracy, which is the same for all exits.
"""

import numpy as np

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.table import BoolArray, CostArray, ExitTable, FloatArray
from core.foundation.errors import UserError

BINS = 20


def validated_thresholds(table: ExitTable, criterion: str, accuracy: float) -> Policy:
    """Return the policy whose thresholds keep out scores with too low an accuracy.

    Exit by exit, the samples are sorted by score and cut into 20 bins of equal size. From the
    highest scores downwards, bins pass while their accuracy is at least ``accuracy``; the
    threshold is the lower edge of the last bin that passes. An exit whose first bin fails is off.

    Args:
        table: of the calibration split.
        criterion: a name in `core.exits.criteria.CRITERIA`, one that reads one exit at a time.
        accuracy: in (0, 1].

    Raises:
        UserError: ``accuracy`` out of range, a criterion that looks back at earlier exits, fewer
            labelled samples than bins, or a criterion that the table cannot give.
    """
    if not 0 < accuracy <= 1:
        raise UserError(
            f"expected `accuracy` to be a fraction above 0 and up to 1, but got {accuracy:g}; "
            "99 % is 0.99."
        )
    if CRITERIA[criterion].history:
        raise UserError(
            "expected a `criterion` that reads one exit at a time, but got "
            f"'{criterion}', which looks back at earlier exits; use another one."
        )
    labelled = table.labelled
    if np.count_nonzero(labelled) < BINS:
        raise UserError(
            f"expected a `table` with at least {BINS} labelled samples, but got "
            f"{np.count_nonzero(labelled)}."
        )
    scores = CRITERIA[criterion].scores(table)[labelled]
    right = table.right[labelled]
    thresholds, enabled = [], []
    for exit_index in range(table.num_exits - 1):
        edge = _edge(scores[:, exit_index], right[:, exit_index], accuracy)
        thresholds.append(1.0 if edge is None else edge)
        enabled.append(edge is not None)
    return Policy(criterion, thresholds, enabled)


def _edge(scores: FloatArray, right: BoolArray, accuracy: float) -> float | None:
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    bins = np.array_split(order, BINS)  # highest scores first
    passes = [bool(right[members].mean() >= accuracy) for members in bins]
    passing = passes.index(False) if False in passes else BINS
    if passing == 0:
        return None
    if passing == BINS:
        return 0.0
    inside: CostArray = scores[bins[passing - 1]].astype(np.float64)
    beyond = float(scores[bins[passing]].max())
    return max((float(inside.min()) + beyond) / 2, 0.0)
