import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.costs import Costs
from core.foundation.errors import UserError
from core.hub.registry import shipped_table
from core.tuning.front import (
    Front,
    at_cost,
    best_within_cost,
    cheapest_within_drop,
    front,
    measured,
    replay,
)
from tests.core.exits.tables import changed, random_table, tables
from tests.core.exits.test_routing import tables_with_policies

Numbers = NDArray[np.floating]
JUDGING_ALONE = [name for name, one in CRITERIA.items() if not one.history]
STEPS = np.linspace(0, 1, 50)


def is_matched(found: Front, accuracy: Numbers, cost: Numbers, slack: float = 1e-9) -> bool:
    """Whether for each of these points the front has one as accurate that costs no more."""
    index = np.searchsorted(found.accuracy, accuracy - slack)  # the cheapest as accurate
    within = index < len(found)
    return bool(within.all() and (found.relative_cost[index] <= cost + 1e-9).all())


def every_policy(
    table: ExitTable, criterion: str, thresholds: Iterable[float]
) -> tuple[Numbers, Numbers]:
    """Accuracy and cost of every combination of these thresholds and of exits that are off."""
    choices = itertools.product([*thresholds, None], repeat=table.num_exits - 1)
    policies = [
        Policy(criterion, [level or 0.0 for level in some], [level is not None for level in some])
        for some in choices
    ]
    return measured(table, policies)


@pytest.mark.parametrize(
    ("samples", "exits", "steps"), [(2000, 3, STEPS), (300, 4, STEPS[::3]), (500, 5, STEPS[::7])]
)
@pytest.mark.parametrize("coarse", [False, True])
def test_the_front_is_as_good_as_an_exhaustive_grid(
    samples: int, exits: int, steps: Numbers, coarse: bool
) -> None:
    table = random_table(samples, exits, seed=exits, coarse=coarse)
    criterion = "confidence" if coarse else "margin"
    assert is_matched(front(table, criterion), *every_policy(table, criterion, steps))


@settings(max_examples=40)
@given(tables(max_samples=60, max_exits=2), st.sampled_from(JUDGING_ALONE))
def test_with_one_early_exit_the_front_holds_exactly_the_best_policies(
    table: ExitTable, criterion: str
) -> None:
    found = front(table, criterion)
    if table.num_exits == 1:
        assert found.relative_cost == pytest.approx([1])
        return
    scores = CRITERIA[criterion].scores(table)
    accuracy, cost = every_policy(table, criterion, [0, *scores.ravel()])
    assert is_matched(found, accuracy, cost)
    for wanted_accuracy, wanted_cost in zip(found.accuracy, found.relative_cost, strict=True):
        exists = np.isclose(accuracy, wanted_accuracy) & np.isclose(cost, wanted_cost)
        assert exists.any()


@settings(max_examples=40)
@given(tables(max_samples=7, max_exits=4), st.sampled_from(JUDGING_ALONE))
def test_no_other_threshold_of_a_single_exit_beats_the_front(
    table: ExitTable, criterion: str
) -> None:
    found = front(table, criterion)
    scores = CRITERIA[criterion].scores(table)
    others = [found.policy(0)]
    for index, column in itertools.product(range(len(found)), range(table.num_exits - 1)):
        policy = found.policy(index)
        for threshold in (0.0, *scores[:, column].tolist(), None):
            thresholds, enabled = list(policy.thresholds), list(policy.enabled)
            thresholds[column], enabled[column] = threshold or 0.0, threshold is not None
            others.append(Policy(criterion, thresholds, enabled))
    assert is_matched(found, *measured(table, others))


@settings(max_examples=40)
@given(tables(max_samples=60), st.sampled_from(list(CRITERIA)))
def test_the_front_is_sorted_undominated_and_true(table: ExitTable, criterion: str) -> None:
    found = front(table, criterion)
    assert (np.diff(found.relative_cost) > 0).all()
    assert (np.diff(found.accuracy) > 0).all()
    assert ((found.thresholds >= 0) & (found.thresholds <= 1)).all()
    for index in range(len(found)):
        routing = route(table, found.policy(index))
        assert np.mean(routing.answers == table.labels) == found.accuracy[index]
        assert routing.costs.mean() == pytest.approx(found.relative_cost[index])


@settings(max_examples=40)
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
    useless = changed(table, costs=Costs([0.6, 0.05, 0.34], [0.5, 0.001, 0.01]))
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


def test_a_front_keeps_its_temperatures() -> None:
    table = random_table(300, 3)
    found = front(table, "max_probability", temperatures=[3, 2, 1])
    index = len(found) // 2
    policy = found.policy(index)
    assert policy.temperatures == (3.0, 2.0, 1.0)
    assert evaluate(table, policy).accuracy == found.accuracy[index]
    assert evaluate(table, policy).relative_cost == pytest.approx(found.relative_cost[index])


@given(tables(max_samples=60), st.floats(0, 0.3))
@settings(max_examples=30)
def test_cheapest_within_drop_keeps_its_guarantee(table: ExitTable, drop: float) -> None:
    found = front(table, "confidence")
    reference = float(table.accuracy_per_exit[-1])
    report = evaluate(table, cheapest_within_drop([found], reference, drop))
    assert report.accuracy >= reference - drop - 1e-9
    cheaper = found.relative_cost < report.relative_cost - 1e-9
    assert (found.accuracy[cheaper] < reference - drop).all()


@given(tables(max_samples=60), st.floats(0.9, 1.3))
@settings(max_examples=30)
def test_best_within_cost_keeps_its_guarantee(table: ExitTable, most: float) -> None:
    found = front(table, "confidence")
    most = max(most, found.relative_cost[0])
    report = evaluate(table, best_within_cost([found], most))
    assert report.relative_cost <= most + 1e-8
    better = found.accuracy > report.accuracy
    assert (found.relative_cost[better] > most).all()


def test_what_cannot_be_reached_is_said() -> None:
    found = front(random_table(200, 3), "margin")
    with pytest.raises(UserError, match=f"best reachable is {found.accuracy[-1]:.4f}"):
        cheapest_within_drop([found], 1, 0)
    with pytest.raises(UserError, match=f"reachable costs {found.relative_cost[0]:.3f}"):
        best_within_cost([found], 0.001)
    with pytest.raises(UserError, match=r"`max_drop` to be a fraction in \[0, 1\]"):
        cheapest_within_drop([found], 0.9, 2)
    with pytest.raises(UserError, match="`reference_accuracy`"):
        cheapest_within_drop([found], float("nan"), 0.1)
    with pytest.raises(UserError, match="`max_cost` to be above 0"):
        best_within_cost([found], float("nan"))


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
    accuracy, cost = every_policy(table, criterion, np.linspace(0, 1, 30))
    # Not quite the best for exclusion, whose final answers are not part of the search.
    assert is_matched(found, accuracy - (0.03 if criterion == "exclusion" else 1e-3), cost)


@pytest.mark.parametrize("name", ["eenet8-mnist", "eenet20-cifar10"])
def test_the_front_of_a_shipped_model_is_as_good_as_a_grid(name: str) -> None:
    table = shipped_table(name, "calibration")
    grid = every_policy(table, "confidence", STEPS[::3])
    assert is_matched(front(table, "confidence"), *grid, slack=2 / len(table))


def test_of_several_criteria_the_best_is_taken() -> None:
    table = random_table(300, 3)
    fronts = [front(table, criterion) for criterion in JUDGING_ALONE]
    reference = float(table.accuracy_per_exit[-1])
    cheapest = evaluate(table, cheapest_within_drop(fronts, reference, 0.05)).relative_cost
    best = evaluate(table, best_within_cost(fronts, 0.7)).accuracy
    for one in fronts:
        by_one = evaluate(table, cheapest_within_drop([one], reference, 0.05))
        assert cheapest <= by_one.relative_cost + 1e-9
        assert best >= evaluate(table, best_within_cost([one], 0.7)).accuracy
    useless = front(changed(table, confidence=np.full((300, 2), 0.5)), "confidence")
    assert cheapest_within_drop([useless, fronts[1]], reference, 0).criterion != "confidence"


def test_a_front_replayed_where_it_was_chosen_is_itself() -> None:
    table = random_table(samples=200, exits=3)
    found = front(table, "margin")
    cost, accuracy, which = replay(found, table, most=len(found))
    assert cost == pytest.approx(found.relative_cost)
    assert accuracy == pytest.approx(found.accuracy)
    assert which.tolist() == list(range(len(found)))


def test_a_replayed_point_is_what_its_policy_achieves() -> None:
    found = front(random_table(samples=200, exits=3), "entropy", temperatures=(2, 1, 0.5))
    other = random_table(samples=150, exits=3, seed=1)
    cost, accuracy, which = replay(found, other, most=5)
    assert len(cost) == min(5, len(found))
    assert (np.diff(cost) >= 0).all()
    for index, point in zip(which.tolist(), zip(cost, accuracy, strict=True), strict=True):
        report = evaluate(other, found.policy(index))
        assert point == pytest.approx((report.relative_cost, report.accuracy))


def test_the_policy_of_another_criterion_at_the_same_cost() -> None:
    table = random_table(samples=300, exits=3)
    of_margin, of_entropy = front(table, "margin"), front(table, "entropy")
    cost = float(of_margin.relative_cost[len(of_margin) // 2])
    moved = evaluate(table, at_cost(of_entropy, cost))
    nearest = np.abs(of_entropy.relative_cost - cost).min()
    assert abs(moved.relative_cost - cost) == pytest.approx(nearest)
    assert at_cost(of_entropy, 0) == of_entropy.policy(0)
