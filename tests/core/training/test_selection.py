"""The best epoch is that of the highest accuracy–cost front."""

from itertools import product

import numpy as np
import pytest

from core.exits.policy import Policy
from core.exits.table import ExitTable
from core.foundation.costs import Costs
from core.hub.registry import card_of, shipped_models, shipped_table
from core.training.selection import COSTS, front_accuracy
from core.tuning.front import front, measured
from tests.core.exits.tables import changed, random_table

EARLY = [name for name in shipped_models() if card_of(name).num_exits > 1]


def accuracy_of(table: ExitTable) -> float:
    assert table.confidence is not None
    return front_accuracy(table.confidence, table.right, table.costs)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_mean_over_costs_of_the_best_policy_that_costs_no_more(seed: int) -> None:
    table = random_table(samples=40, exits=3, seed=seed, coarse=True)
    cuts = np.append(np.unique(table.confidence) - 0.05, 1).clip(0, 1)  # between the scores
    policies = [
        Policy("confidence", list(thresholds), enabled)
        for thresholds in product(cuts, repeat=2)
        for enabled in product((True, False), repeat=2)
    ]
    accuracy, cost = measured(table, policies)
    # A score of 0 may be exceeded here, too: all leave at the first exit, or at the second.
    one, two = (table.right[:, index].mean() for index in (0, 1))
    first, second = table.costs.at_exits()[:2]
    accuracy, cost = np.append(accuracy, [one, two]), np.append(cost, [first, second])
    cheapest, dearest = table.costs.at_exits()[[0, -1]]
    best = [
        accuracy[cost <= cheapest + share * (dearest - cheapest) + 1e-9].max() for share in COSTS
    ]
    found = accuracy_of(table)
    assert found <= np.mean(best) + 1e-9
    assert found == pytest.approx(np.mean(best), abs=0.01)


def test_it_sees_what_the_sum_over_exits_does_not() -> None:
    """An exit that knows when it is right is worth more than one that is right as often."""
    table = random_table(samples=400, exits=3, seed=1)
    knows = np.where(table.right[:, :-1], 0.9, 0.1).astype(np.float32)
    guesses = np.full_like(knows, 0.5)
    by_knowing, by_guessing = (
        accuracy_of(changed(table, confidence=one)) for one in (knows, guesses)
    )
    assert by_knowing > by_guessing + 0.05


def test_with_one_exit_it_is_the_accuracy() -> None:
    right = np.array([[True], [False], [True], [True]])
    scores = np.zeros((4, 0), np.float32)
    assert front_accuracy(scores, right, Costs([0.9], [0.1])) == 0.75


def test_scores_that_are_no_numbers_are_the_lowest() -> None:
    table = random_table(samples=60, exits=3)
    lost = np.full((60, 2), np.nan, np.float32)
    assert 0 < front_accuracy(lost, table.right, table.costs) < 1


@pytest.mark.parametrize("name", EARLY)
def test_few_levels_are_as_good_as_the_whole_front(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = shipped_table(name, "calibration")
    learned = table.confidence is not None
    scores = table.confidence if learned else table.probabilities.max(axis=2)[:, :-1]
    whole = front(table, "confidence" if learned else "max_probability")
    cheapest, dearest = table.costs.at_exits()[[0, -1]]
    places = np.searchsorted(
        whole.relative_cost, cheapest + COSTS * (dearest - cheapest) + 1e-9, "right"
    )
    expected = whole.accuracy[np.maximum(places - 1, 0)].mean()
    assert front_accuracy(scores, table.right, table.costs) == pytest.approx(expected, abs=0.0015)
