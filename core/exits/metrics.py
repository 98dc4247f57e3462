"""Metrics of answers and scores: ranking, calibration, confusion."""

import math

import numpy as np
from numpy.typing import NDArray

from core.exits.table import BoolArray, CostArray, ExitTable, IntArray

CALIBRATION_BINS = 15


def auroc(scores: NDArray[np.floating], right: BoolArray) -> float:
    """Return P(score of a right answer > score of a wrong one) + ½ P(equal), from ranks.

    Args:
        scores: ``(N,)``.
        right: ``(N,)``.

    Returns:
        A value in [0, 1]; NaN when all answers are right or all are wrong.
    """
    positives = int(np.count_nonzero(right))
    negatives = len(right) - positives
    if not positives or not negatives:
        return math.nan
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(sizes) - (sizes - 1) / 2
    rank_sum = mean_ranks[group[right]].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def reliability(
    probability: NDArray[np.floating], right: BoolArray, bins: int = CALIBRATION_BINS
) -> tuple[CostArray, CostArray, IntArray]:
    """Return mean probability, accuracy and number of answers in bins of equal width.

    Args:
        probability: ``(N,)`` of the answers, in [0, 1].
        right: ``(N,)``.
        bins: number of bins.

    Returns:
        Three arrays ``(bins,)``; an empty bin has NaN, NaN and 0.
    """
    index = _bin_index(probability, bins)
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = np.bincount(index, weights=probability.astype(np.float64), minlength=bins) / counts
        accuracies = np.bincount(index, weights=right, minlength=bins) / counts
    return means, accuracies, counts


def calibration_error(
    probability: NDArray[np.floating], right: BoolArray, bins: int = CALIBRATION_BINS
) -> float:
    """Return Σ_b n_b/N · |accuracy_b − mean probability_b| over the bins of `reliability`.

    NaN without answers.
    """
    if not len(right):
        return math.nan
    means, accuracies, counts = reliability(probability, right, bins)
    return float(np.nansum(counts * np.abs(accuracies - means)) / len(right))


def negative_log_likelihood(table: ExitTable) -> CostArray:
    """Return at each exit ``(E,)`` the mean of −ln of the label's probability; NaN without labels.

    A probability of 0 counts as the smallest that float32 has.

    Raises:
        UserError: as `ExitTable.logarithms`.
    """
    labelled = np.flatnonzero(table.labelled)
    if not len(labelled):
        return np.full(table.num_exits, math.nan)
    logs = table.logarithms()[labelled, :, table.labels[labelled]].astype(np.float64)  # (N, E)
    smallest = math.log(np.finfo(np.float32).tiny)
    losses: CostArray = -np.maximum(logs, smallest).mean(axis=0)
    return losses


def confusion(table: ExitTable, exit_index: int) -> IntArray:
    """Return the confusion matrix ``(K, K)`` of an exit: [k, j] counts answers j to class k.

    Samples without a label are left out.
    """
    classes = table.num_classes
    labelled = table.labelled
    pairs = table.labels[labelled] * classes + table.answers[labelled, exit_index]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def most_confused(counts: IntArray, limit: int) -> IntArray:
    """Return up to ``limit`` classes, ascending: those of the pairs confused most often.

    Args:
        counts: ``(K, K)`` as `confusion` gives them.
        limit: at least 2.
    """
    mistakes = np.triu(counts + counts.T, 1)
    kept: set[int] = set()
    for pair in np.argsort(-mistakes, axis=None, kind="stable"):
        first, second = divmod(int(pair), len(counts))
        if not mistakes[first, second] or len(kept | {first, second}) > limit:
            break
        kept |= {first, second}
    return np.array(sorted(kept), dtype=np.int64)


def score_histogram(
    scores: NDArray[np.floating], right: BoolArray, bins: int
) -> tuple[IntArray, IntArray]:
    """Return histograms of the scores of right and of wrong answers, over equal bins of [0, 1].

    Args:
        scores: ``(N,)`` in [0, 1]; exactly 1 falls in the last bin.
        right: ``(N,)``.

    Returns:
        Two arrays ``(bins,)``.
    """
    index = _bin_index(scores, bins)
    return (
        np.bincount(index[right], minlength=bins),
        np.bincount(index[~right], minlength=bins),
    )


def _bin_index(values: NDArray[np.floating], bins: int) -> IntArray:
    return np.minimum((values * bins).astype(np.int64), bins - 1)
