"""What a policy achieves on a table: accuracy, cost, shares."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import Decision, alive, decide
from core.exits.table import BoolArray, CostArray, ExitTable, FloatArray, IntArray

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Report:
    """The figures of one policy on one table. Every figure that is undefined is NaN.

    Attributes:
        samples: N.
        accuracy: of the answers given, in [0, 1], over the labelled samples.
        relative_cost: mean cost per sample, in units of the plain network.
        exit_share: ``(E,)`` part of the samples that leaves at each exit.
        accuracy_of_left: ``(E,)`` accuracy of those who left there.
        per_exit_accuracy: ``(E,)`` accuracy had all left there.
        per_exit_agreement: ``(E,)`` share of the samples with the last exit's answer there.
        auroc: ``(E,)`` probability that a right answer scores higher than a wrong one, over all
            samples. A learned confidence ends before the last exit: there it is max probability.
        calibration_error: ``(E,)`` expected calibration error of the answer's probability, 15 bins.
        rescued: samples answered rightly that the last exit gets wrong.
        ruined: samples answered wrongly that the last exit gets right.
    """

    samples: int
    accuracy: float
    relative_cost: float
    exit_share: tuple[float, ...]
    accuracy_of_left: tuple[float, ...]
    per_exit_accuracy: tuple[float, ...]
    per_exit_agreement: tuple[float, ...]
    auroc: tuple[float, ...]
    calibration_error: tuple[float, ...]
    rescued: int
    ruined: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types; NaN becomes None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def evaluate(table: ExitTable, policy: Policy) -> Report:
    """Return what ``policy`` achieves on ``table``.

    Raises:
        UserError: as `core.exits.routing.decide`.
    """
    decision = decide(table, policy)
    labelled = table.labelled
    right = _right(table, decision)
    at = [decision.exits == exit_index for exit_index in range(table.num_exits)]
    rescued, ruined = flips(table, decision)
    heated = policy.heated(table)
    largest = [CRITERIA["max_probability"].score(heated, i) for i in range(table.num_exits)]
    return Report(
        samples=len(table),
        accuracy=_mean(right[labelled]),
        relative_cost=_mean(decision.costs),
        exit_share=tuple(_mean(left) for left in at),
        accuracy_of_left=tuple(_mean(right[left & labelled]) for left in at),
        per_exit_accuracy=tuple(table.accuracy_per_exit.tolist()),
        per_exit_agreement=tuple(table.agreement_per_exit.tolist()),
        auroc=tuple(
            auroc(score[labelled], table.right[labelled, i])
            for i, score in enumerate(exit_scores(table, policy).T)
        ),
        calibration_error=tuple(
            calibration_error(largest[i][labelled], table.right[labelled, i])
            for i in range(table.num_exits)
        ),
        rescued=int(rescued.sum()),
        ruined=int(ruined.sum()),
    )


def exit_scores(table: ExitTable, policy: Policy) -> FloatArray:
    """Return the scores ``(N, E)`` of all exits, in [0, 1].

    No policy asks for the last column. Where the criterion is learned it is max probability.
    """
    heated = policy.heated(table)
    criterion = CRITERIA[policy.criterion]
    last = CRITERIA["max_probability"] if criterion.needs_confidence else criterion
    all_asked = heated.asked([*np.flatnonzero(policy.enabled), table.num_exits - 1])
    final = last.score(all_asked, all_asked.num_exits - 1)
    return np.column_stack([policy.scores(table), final]).astype(np.float32)


def classes_left(table: ExitTable, policy: Policy) -> tuple[CostArray, CostArray] | None:
    """Return for each early exit and class how often it is still possible after that exit.

    Of the samples that reach the exit, ``(E-1, K)`` in [0, 1], and how many classes are left on
    average, ``(E-1,)``; NaN where nobody arrives. None unless the criterion rules classes out.
    """
    left = alive(table, policy)
    if left is None:
        return None
    exits = decide(table, policy).exits
    shares = np.full(left.shape[1:], np.nan)
    for exit_index in range(table.num_exits - 1):
        here = left[exits >= exit_index, exit_index]
        if len(here):
            shares[exit_index] = here.mean(axis=0)
    return shares, shares.sum(axis=1)


def saved(relative_cost: float) -> float:
    """Return the part of the plain network's compute that was saved, below 0 for a dearer run."""
    return 1 - relative_cost


def exits_alone(table: ExitTable) -> tuple[CostArray, CostArray]:
    """Return relative cost and accuracy ``(E,)`` of networks cut off at each exit.

    Everything leaves there and no other head is computed.
    """
    return np.cumsum(table.stage_costs) + table.head_costs, table.accuracy_per_exit


def flips(table: ExitTable, decision: Decision) -> tuple[BoolArray, BoolArray]:
    """Return the samples ``(N,)`` that leaving early rescued, and those that it ruined.

    Rescued: answered rightly where the last exit is wrong. Ruined: the other way round. Samples
    without a label are neither.
    """
    early, last = _right(table, decision), table.right[:, -1]
    return early & ~last, ~early & last


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


def calibration_error(
    probability: NDArray[np.floating], right: BoolArray, bins: int = CALIBRATION_BINS
) -> float:
    """Return Σ_b n_b/N · |accuracy_b − mean probability_b| over equal-width bins; NaN if empty.

    Args:
        probability: ``(N,)`` of the answers, in [0, 1].
        right: ``(N,)``.
        bins: how many.
    """
    if not len(right):
        return math.nan
    index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    gap = np.bincount(index, weights=right - probability.astype(np.float64), minlength=bins)
    return float(np.abs(gap).sum() / len(right))


def reliability(
    probability: NDArray[np.floating], right: BoolArray, bins: int = CALIBRATION_BINS
) -> tuple[CostArray, CostArray, IntArray]:
    """Return what `calibration_error` sums up: mean probability, accuracy and number of each bin.

    Args:
        probability: ``(N,)`` of the answers, in [0, 1].
        right: ``(N,)``.
        bins: how many, of equal width.

    Returns:
        Three arrays ``(bins,)``; an empty bin has NaN, NaN and 0.
    """
    index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        said = np.bincount(index, weights=probability.astype(np.float64), minlength=bins) / counts
        was = np.bincount(index, weights=right, minlength=bins) / counts
    return said, was, counts


def confusion(table: ExitTable, exit_index: int) -> IntArray:
    """Return how often class k was answered with class j at an exit: ``(K, K)``, [k, j].

    Samples without a label are left out.
    """
    classes = table.num_classes
    labelled = table.labelled
    pairs = table.labels[labelled] * classes + table.answers[labelled, exit_index]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def most_mixed_up(counts: IntArray, limit: int) -> IntArray:
    """Return up to ``limit`` classes, in order: the pairs that are taken for each other most often.

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
    """Return how many right and how many wrong answers fall in each of ``bins`` parts of [0, 1].

    Args:
        scores: ``(N,)`` in [0, 1]; exactly 1 falls in the last bin.
        right: ``(N,)``.

    Returns:
        Two arrays ``(bins,)``.
    """
    index = np.minimum((scores * bins).astype(np.int64), bins - 1)
    return (
        np.bincount(index[right], minlength=bins),
        np.bincount(index[~right], minlength=bins),
    )


def _right(table: ExitTable, decision: Decision) -> BoolArray:
    right: BoolArray = decision.answers == table.labels
    return right


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if values.size else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
