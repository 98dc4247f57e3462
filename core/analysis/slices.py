"""Slices: named selections of samples, each against the rest, worst accuracy first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.analysis.samples import Selection, select
from core.exits.intervals import CONFIDENCE
from core.exits.routing import Routing, mean
from core.exits.table import CostArray, IntArray
from core.foundation.files import csv_text

DRAWS = 10_000
"""Random draws of a permutation test; no p-value of it is below 1 / (DRAWS + 1)."""


@dataclass(frozen=True)
class Against:
    """A mean over the samples of a slice, against that over all other samples.

    Attributes:
        value: over the slice; NaN where it has no sample, or none with a label.
        difference: the slice less the rest; NaN where one of them has none.
        p_value: of no difference, corrected for all tests of all slices; NaN where nothing is
            tested.
        chosen: whether the filters of the slice fix the value, so that it is not tested.
    """

    value: float
    difference: float
    p_value: float
    chosen: bool

    @property
    def certain(self) -> bool:
        """Whether the difference is beyond chance: 95 % confidence in all slices together."""
        return self.p_value < 1 - CONFIDENCE


@dataclass(frozen=True)
class Slice:
    """The figures of a slice under a policy.

    Attributes:
        name: of it.
        count: number of its samples.
        accuracy: over those with a label.
        relative_cost: mean, in units of the plain network.
        exits: E shares, of its samples that leave at each exit; NaN for an empty slice.
        exit_differences: E, each share less that of the rest.
    """

    name: str
    count: int
    accuracy: Against
    relative_cost: Against
    exits: tuple[float, ...]
    exit_differences: tuple[float, ...]


def slices(routing: Routing, selections: Mapping[str, Selection]) -> list[Slice]:
    """Return the figures of several slices: the lowest accuracy first, then the highest cost.

    Accuracy is tested with `fisher_test`, cost with `permutation_test`; the p-values of both, over
    all slices, are corrected together with `holm`. They hold for slices that were not picked by
    their figures on these samples. A slice chosen by right answers or flips is not tested on its
    accuracy; one chosen by exit, flips or agreement with the last exit not on its cost.

    Args:
        routing: a policy applied to a table of samples.
        selections: by name; their order does not matter.
    """
    members = [select(routing, selection) for selection in selections.values()]
    chosen = [
        (
            selection.right is not None or selection.flip is not None,
            any(
                fixed is not None
                for fixed in (selection.exit_index, selection.flip, selection.agrees)
            ),
        )
        for selection in selections.values()
    ]
    tested = [
        (
            math.nan if by_accuracy else _accuracy_test(routing, inside),
            math.nan if by_cost else permutation_test(routing.costs, inside),
        )
        for inside, (by_accuracy, by_cost) in zip(members, chosen, strict=True)
    ]
    corrected = holm([p_value for pair in tested for p_value in pair])
    found = [
        _slice(routing, name, inside, fixed, (corrected[2 * number], corrected[2 * number + 1]))
        for number, (name, inside, fixed) in enumerate(
            zip(selections, members, chosen, strict=True)
        )
    ]
    return sorted(found, key=_from_the_worst)


def _from_the_worst(one: Slice) -> tuple[float, float]:
    accuracy, cost = one.accuracy.value, one.relative_cost.value
    return math.inf if math.isnan(accuracy) else accuracy, math.inf if math.isnan(cost) else -cost


def _slice(
    routing: Routing,
    name: str,
    inside: IntArray,
    chosen: tuple[bool, bool],
    p_values: tuple[float, float],
) -> Slice:
    rest = np.delete(np.arange(len(routing)), inside)
    accuracy, cost = routing.accuracy(inside), mean(routing.costs[inside])
    exits, of_rest = (_shares(routing, positions) for positions in (inside, rest))
    return Slice(
        name,
        len(inside),
        Against(accuracy, accuracy - routing.accuracy(rest), p_values[0], chosen[0]),
        Against(cost, cost - mean(routing.costs[rest]), p_values[1], chosen[1]),
        tuple(exits),
        tuple(share - other for share, other in zip(exits, of_rest, strict=True)),
    )


def _shares(routing: Routing, positions: IntArray) -> list[float]:
    exits = routing.exits[positions]
    return [mean(exits == index) for index in range(routing.table.num_exits)]


def by_class(routing: Routing) -> dict[str, Selection]:
    """Return a slice per class: of its images, or without any label of those answered so."""
    labelled = bool(routing.table.labelled.any())
    return {
        name: Selection(label=index) if labelled else Selection(answer=index)
        for index, name in enumerate(routing.table.classes)
    }


def _accuracy_test(routing: Routing, inside: IntArray) -> float:
    labelled = routing.table.labelled
    right = routing.right & labelled
    return fisher_test(
        int(right[inside].sum()), int(labelled[inside].sum()), int(right.sum()), int(labelled.sum())
    )


def fisher_test(right: int, samples: int, all_right: int, all_samples: int) -> float:
    """Return the two-sided p-value of Fisher's exact test that a slice is as accurate as the rest.

    The probability that as many samples, drawn at random from all, have a number of right answers
    that is at most as likely. Fisher, Journal of the Royal Statistical Society 85:87, 1922.

    Args:
        right: number of right answers in the slice.
        samples: of the slice.
        all_right: number of right answers in the slice and the rest.
        all_samples: of both.

    Returns:
        NaN where the slice or the rest is empty.
    """
    from scipy.special import gammaln  # takes a quarter of a second to import

    if not 0 < samples < all_samples:
        return math.nan
    least = max(0, samples + all_right - all_samples)
    counts = np.arange(least, min(samples, all_right) + 1)
    cells = (
        counts,
        all_right - counts,
        samples - counts,
        all_samples - all_right - samples + counts,
    )
    log = -sum(gammaln(cell + 1) for cell in cells)
    chances = np.exp(log - log.max())
    unlikely = chances <= chances[right - least] * (1 + 1e-7)  # equal ones differ by rounding
    return float(chances[unlikely].sum() / chances.sum())


def permutation_test(values: CostArray, inside: IntArray, draws: int = DRAWS) -> float:
    """Return the two-sided p-value of a permutation test that a slice has the mean of the rest.

    The share of random draws of as many samples whose mean is at least as far from that of all,
    the slice itself counted among the draws. Unlike Welch's test it also holds for slices of a few
    samples with equal values. Phipson and Smyth, Statistical Applications in Genetics and Molecular
    Biology 9:39, 2010. The draws are the same at every call.

    Args:
        values: ``(N,)`` of all samples, with few different ones, as costs have.
        inside: positions of the slice.
        draws: number of draws.

    Returns:
        NaN where the slice or the rest is empty, or all values are equal.
    """
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) < 2 or not 0 < len(inside) < len(values):
        return math.nan
    drawn = np.random.default_rng(0).multivariate_hypergeometric(
        counts, len(inside), size=draws, method="marginals"
    )
    expected = values.mean()
    distance = abs(values[inside].mean() - expected)
    far = np.abs(drawn @ levels / len(inside) - expected) >= distance - 1e-12
    return (1 + int(far.sum())) / (1 + draws)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the same order; NaN stays and does not count.

    Those below α reject no true hypothesis with a probability of at least 1 - α. Holm, Scandinavian
    Journal of Statistics 6:65, 1979.
    """
    given = np.asarray(p_values, np.float64)
    order = np.argsort(given, kind="stable")[: np.count_nonzero(~np.isnan(given))]  # NaN is last
    factors = np.arange(len(order), 0, -1)
    corrected = np.full(len(given), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1)
    return [float(p_value) for p_value in corrected]


def to_csv(found: Sequence[Slice], num_exits: int) -> str:
    """Return slices as CSV, one line each, in this order.

    Shares, accuracies and costs are fractions, ``_difference`` is to the rest, ``_p`` the corrected
    p-value; exits count from 1. What is unknown is left empty.
    """
    columns: dict[str, list[object]] = {
        "slice": [one.name for one in found],
        "images": [one.count for one in found],
    }
    for title, measured in (
        ("accuracy", [one.accuracy for one in found]),
        ("relative_cost", [one.relative_cost for one in found]),
    ):
        columns[title] = [_number(one.value) for one in measured]
        columns[f"{title}_difference"] = [_number(one.difference) for one in measured]
        columns[f"{title}_p"] = [_number(one.p_value) for one in measured]
    for index in range(num_exits):
        title = f"exit_{index + 1}_share"
        columns[title] = [_number(one.exits[index]) for one in found]
        columns[f"{title}_difference"] = [_number(one.exit_differences[index]) for one in found]
    return csv_text(tuple(columns), columns.values())


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
