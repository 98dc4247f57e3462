import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import decide
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.tuning.front import (
    Front,
    best_within_cost,
    cheapest_within_drop,
    front,
    measured,
)
from tests.core.exits.tables import changed, random_table, tables
from tests.core.exits.test_routing import tables_with_policies

Numbers = NDArray[np.floating]
JUDGING_ALONE = [name for name, one in CRITERIA.items() if not one.history]
STEPS = np.linspace(0, 1, 50)
GRIDS: dict[str, Callable[[Numbers], Numbers]] = {
    "uniform": lambda scores: STEPS,
    "quantile": lambda scores: np.quantile(scores, STEPS),
    "middles": lambda scores: (np.arange(50) + 0.5) / 50,
}


def is_matched(found: Front, accuracy: Numbers, cost: Numbers) -> bool:
    """Whether for each of these points the front has one as accurate that costs no more."""
    index = np.searchsorted(found.accuracy, accuracy - 1e-9)  # the cheapest as accurate
    within = index < len(found)
    return bool(within.all() and (found.relative_cost[index] <= cost + 1e-9).all())


def every_policy(
    table: ExitTable, criterion: str, levels: Sequence[Numbers]
) -> tuple[Numbers, Numbers]:
    """Accuracy and cost of every combination of levels and switches, one sample column at a time.

    A threshold of infinity stands for an exit that is off.
    """
    scores, is_right = CRITERIA[criterion].scores(table), table.right.astype(np.float64)
    accuracy, cost = [], []
    *outer, last = [np.append(column, np.inf) for column in levels]
    for chosen in itertools.product(*outer):
        inside = np.ones(len(table), bool)
        right, price = 0.0, 0.0
        for i, threshold in enumerate(chosen):
            price += inside.sum() * table.stage_costs[i]
            if threshold < np.inf:
                price += inside.sum() * table.head_costs[i]
            leaves = inside & (scores[:, i] > threshold)
            right += is_right[leaves, i].sum()
            inside &= ~leaves
        i = len(chosen)
        leaves = inside & (scores[:, i] > last[:, None])  # (levels, N)
        stays = inside & ~leaves
        head = np.where(last < np.inf, table.head_costs[i], 0)
        accuracy.append(right + leaves @ is_right[:, i] + stays @ is_right[:, -1])
        cost.append(
            price
            + inside.sum() * (table.stage_costs[i] + head)
            + stays.sum(axis=1) * (table.stage_costs[-1] + table.head_costs[-1])
        )
    return np.concatenate(accuracy) / len(table), np.concatenate(cost) / len(table)


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize(("samples", "exits"), [(2000, 3), (300, 4)])
@pytest.mark.parametrize("coarse", [False, True])
def test_the_front_is_as_good_as_an_exhaustive_grid(
    kind: str, samples: int, exits: int, coarse: bool
) -> None:
    table = random_table(samples, exits, seed=exits, coarse=coarse)
    criterion = "confidence" if coarse else "margin"
    levels = [GRIDS[kind](column) for column in CRITERIA[criterion].scores(table).T]
    accuracy, cost = every_policy(table, criterion, levels)
    assert is_matched(front(table, criterion), accuracy, cost)


def test_four_early_exits_are_as_good_as_a_grid() -> None:
    table = random_table(500, 5)
    coarser = [STEPS[::7]] * 4  # a part of the uniform grid of 50
    found = front(table, "entropy")
    assert is_matched(found, *every_policy(table, "entropy", coarser))


@settings(max_examples=40, deadline=None)
@given(tables(max_samples=7, max_exits=4), st.sampled_from(JUDGING_ALONE))
def test_on_few_samples_the_front_holds_exactly_the_best_policies(
    table: ExitTable, criterion: str
) -> None:
    found = front(table, criterion)
    if table.num_exits == 1:
        assert found.relative_cost == pytest.approx([1])
        return
    scores = CRITERIA[criterion].scores(table)
    accuracy, cost = every_policy(
        table, criterion, [np.unique(np.append(column, 0)) for column in scores.T]
    )
    assert is_matched(found, accuracy, cost)
    for wanted_accuracy, wanted_cost in zip(found.accuracy, found.relative_cost, strict=True):
        exists = np.isclose(accuracy, wanted_accuracy) & np.isclose(cost, wanted_cost)
        assert exists.any()


@settings(max_examples=40, deadline=None)
@given(tables(max_samples=60), st.sampled_from(list(CRITERIA)))
def test_the_front_is_sorted_undominated_and_true(table: ExitTable, criterion: str) -> None:
    found = front(table, criterion)
    assert (np.diff(found.relative_cost) > 0).all()
    assert (np.diff(found.accuracy) > 0).all()
    assert ((found.thresholds >= 0) & (found.thresholds <= 1)).all()
    for index in range(len(found)):
        decision = decide(table, found.policy(index))
        assert np.mean(decision.answers == table.labels) == found.accuracy[index]
        assert decision.costs.mean() == pytest.approx(found.relative_cost[index])


@settings(max_examples=40, deadline=None)
@given(tables(max_samples=60), st.sampled_from(JUDGING_ALONE))
def test_thresholds_sit_halfway_between_scores(table: ExitTable, criterion: str) -> None:
    found = front(table, criterion)
    scores = CRITERIA[criterion].scores(table)
    for exit_index, column in enumerate(scores.T):
        on = found.enabled[:, exit_index]
        edges = np.append(0, np.unique(column)).astype(np.float64)
        halfway = (edges[1:] + edges[:-1]) / 2
        assert np.isin(found.thresholds[on, exit_index], halfway).all()
        assert (found.thresholds[~on, exit_index] == 1).all()


def test_an_exit_that_saves_nothing_is_off() -> None:
    table = random_table(400, 3)
    useless = changed(
        table,
        head_costs=[0.5, 0.001, table.head_costs[-1]],
        stage_costs=[0.6, 0.05, 0.35 - table.head_costs[-1]],
    )
    found = front(useless, "max_probability")
    assert not found.enabled[:, 0].any()
    assert found.enabled[:, 1].any()


def test_the_plain_network_is_reachable_unless_beaten() -> None:
    table = random_table(500, 4)
    assert is_matched(front(table, "margin"), table.accuracy_per_exit[-1:], np.ones(1))


@pytest.mark.parametrize("early", [5, 10])
def test_many_exits_are_as_good_as_one_threshold_for_all(early: int) -> None:
    table = random_table(400, early + 1)
    found = front(table, "max_probability")
    reports = [evaluate(table, Policy("max_probability", [level] * early)) for level in STEPS]
    accuracy = np.array([report.accuracy for report in reports])
    cost = np.array([report.relative_cost for report in reports])
    assert is_matched(found, accuracy, cost)
    middle = found.policy(len(found) // 2)
    assert evaluate(table, middle).accuracy == found.accuracy[len(found) // 2]


def test_a_front_of_heated_scores_keeps_its_temperatures() -> None:
    table = random_table(300, 3)
    found = front(table, "max_probability", temperatures=[3, 2, 1])
    index = len(found) // 2
    policy = found.policy(index)
    assert policy.temperatures == (3.0, 2.0, 1.0)
    assert evaluate(table, policy).accuracy == found.accuracy[index]
    assert evaluate(table, policy).relative_cost == pytest.approx(found.relative_cost[index])


@given(tables(max_samples=60), st.floats(0, 0.3))
@settings(max_examples=30, deadline=None)
def test_cheapest_within_drop_keeps_its_promise(table: ExitTable, drop: float) -> None:
    found = front(table, "confidence")
    reference = float(table.accuracy_per_exit[-1])
    report = evaluate(table, cheapest_within_drop(found, reference, drop))
    assert report.accuracy >= reference - drop - 1e-9
    cheaper = found.relative_cost < report.relative_cost - 1e-9
    assert (found.accuracy[cheaper] < reference - drop).all()


@given(tables(max_samples=60), st.floats(0.9, 1.3))
@settings(max_examples=30, deadline=None)
def test_best_within_cost_keeps_its_promise(table: ExitTable, most: float) -> None:
    found = front(table, "confidence")
    most = max(most, found.relative_cost[0])
    report = evaluate(table, best_within_cost(found, most))
    assert report.relative_cost <= most + 1e-8
    better = found.accuracy > report.accuracy
    assert (found.relative_cost[better] > most).all()


def test_what_cannot_be_reached_is_said() -> None:
    found = front(random_table(200, 3), "margin")
    with pytest.raises(UserError, match=f"best reachable is {found.accuracy[-1]:.4f}"):
        cheapest_within_drop(found, 1, 0)
    with pytest.raises(UserError, match=f"reachable costs {found.relative_cost[0]:.3f}"):
        best_within_cost(found, 0.001)
    with pytest.raises(UserError, match=r"`max_drop` to be a fraction in \[0, 1\]"):
        cheapest_within_drop(found, 0.9, 2)
    with pytest.raises(UserError, match="`reference_accuracy`"):
        cheapest_within_drop(found, float("nan"), 0.1)
    with pytest.raises(UserError, match="`max_cost` to be above 0"):
        best_within_cost(found, float("nan"))


def test_tuning_needs_labels_and_a_criterion_the_table_has() -> None:
    table = random_table(20, confidence=False)
    with pytest.raises(UserError, match="19 labels for 20 samples"):
        front(changed(table, labels=[-1, *table.labels[1:]]), "margin")
    with pytest.raises(UserError, match="0 labels for 0 samples"):
        front(table.select([]), "margin")
    with pytest.raises(UserError, match="'confidence'"):
        front(table, "confidence")


@given(tables_with_policies())
def test_the_lean_figures_are_those_of_the_report(case: tuple[ExitTable, Policy]) -> None:
    table, policy = case
    report = evaluate(table, policy)
    (accuracy,), (cost,) = measured(table, [policy])
    assert accuracy == report.accuracy
    assert cost == pytest.approx(report.relative_cost)


@pytest.mark.parametrize("criterion", [name for name, one in CRITERIA.items() if one.history])
def test_with_a_history_the_front_beats_every_coarse_grid(criterion: str) -> None:
    table = random_table(300, 3)
    found = front(table, criterion)
    grid = [
        Policy(criterion, levels, enabled)
        for levels in itertools.product(np.linspace(0, 1, 30), repeat=2)
        for enabled in itertools.product((True, False), repeat=2)
    ]
    accuracy, cost = measured(table, grid)
    # Not quite the best for exclusion, whose final answers are not part of the search.
    assert is_matched(found, accuracy - (0.03 if criterion == "exclusion" else 1e-3), cost)
