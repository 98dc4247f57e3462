from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import core
from core.exits.criteria import CRITERIA, available, criterion
from core.exits.inference import run_with_skipping
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import route
from core.exits.table import ExitTable, FloatArray
from core.foundation.errors import UserError
from core.tuning.calibration import calibrated, temperatures_for
from core.tuning.front import best_within_cost, cheapest_within_drop, front
from core.tuning.guarantee import control
from core.tuning.promise import promise
from core.tuning.validated import validated_thresholds
from tests.core.exits.tables import changed, random_table
from tests.core.exits.test_inference import mixed_policy, normalisation, table_of
from tests.core.networks.small import network, noise

TABLE = random_table(500, 3)
PERFECT = changed(
    TABLE, probabilities=np.eye(TABLE.num_classes)[TABLE.labels][:, None].repeat(3, 1)
)


def test_each_goal_is_what_its_own_function_finds() -> None:
    fronts = [front(TABLE, name) for name in available(TABLE)]
    last = float(TABLE.accuracy_per_exit[-1])
    hoped = core.tune(TABLE, max_drop=0.02, confidence=0)
    assert hoped == cheapest_within_drop(fronts, last, 0.02)
    kept = core.tune(TABLE, max_drop=0.1, confidence=0.8)
    assert kept == promise(TABLE, available(TABLE)[0], 0.1, 0.8).policy
    assert core.tune(TABLE, max_cost=0.7) == best_within_cost(fronts, 0.7)
    proven = control(TABLE, available(TABLE), 0.1, 0.2).policy
    assert core.tune(TABLE, max_risk=0.1, delta=0.2) == proven
    validated = validated_thresholds(TABLE, "max_probability", 0.9)
    assert core.tune(TABLE, min_accuracy=0.9) == validated


@pytest.mark.parametrize("goal", ["max_drop", "max_cost", "max_risk", "min_accuracy"])
def test_a_calibrated_policy_is_tuned_on_calibrated_scores(goal: str) -> None:
    wanted: dict[str, Any] = {goal: 0.6}
    policy = core.tune(TABLE, criterion="entropy", calibrate=True, **wanted)
    temperatures = temperatures_for(TABLE)
    assert policy.temperatures == temperatures
    of_calibrated = core.tune(calibrated(TABLE, temperatures), criterion="entropy", **wanted)
    assert replace(policy, temperatures=None) == of_calibrated
    assert (
        evaluate(TABLE, policy).accuracy
        == evaluate(calibrated(TABLE, temperatures), of_calibrated).accuracy
    )


@pytest.mark.parametrize("goal", ["max_drop", "max_cost", "max_risk", "min_accuracy"])
def test_a_criterion_that_is_named_is_taken(goal: str) -> None:
    assert core.tune(TABLE, criterion="margin", **{goal: 0.6}).criterion == "margin"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("goals", "message"),
    [
        ({}, "exactly one of max_drop, max_cost, max_risk, min_accuracy, but got none"),
        ({"max_drop": 0, "max_cost": 1}, "but got max_drop and max_cost"),
        ({"max_cost": 0.01}, "cheapest reachable costs"),
        ({"max_drop": 0, "plain": PERFECT}, "allow a `max_drop` of"),
        ({"max_drop": 0, "plain": PERFECT, "confidence": 0}, "best reachable is"),
        ({"max_drop": 0, "confidence": 1}, "`confidence` to be a fraction"),
        ({"max_risk": 0.001}, "expected at least"),
        ({"max_cost": 1, "criterion": "magrin"}, "Did you mean 'margin'"),
    ],
)
def test_a_goal_that_cannot_be_met_is_a_sentence(goals: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        core.tune(TABLE, **goals)  # type: ignore[arg-type]


def test_a_table_that_cannot_be_tuned_on_is_a_sentence() -> None:
    with pytest.raises(UserError, match="early exits to tune"):
        core.tune(random_table(50, 1), max_drop=0.1)
    with pytest.raises(UserError, match="a label for each"):
        core.tune(changed(TABLE, labels=np.full(500, -1)), max_drop=0.1)


@pytest.fixture
def squared() -> Iterator[str]:
    """The name of a criterion that a user registered: the square of the largest probability."""

    @criterion("squared", "Squared", "The square of the probability of the answer.")
    def score(table: ExitTable, exit_index: int) -> FloatArray:
        largest: NDArray[np.float32] = table.probabilities[:, exit_index].max(axis=1)
        return largest**2

    yield "squared"
    del CRITERIA["squared"]


def test_a_criterion_of_ones_own_is_tuned_proven_and_run(squared: str) -> None:
    assert squared in available(TABLE)
    for goal in ({"max_drop": 0.05}, {"max_cost": 0.8}, {"max_risk": 0.1}, {"min_accuracy": 0.9}):
        policy = core.tune(TABLE, criterion=squared, **goal)  # type: ignore[arg-type]
        assert Policy.from_dict(policy.to_dict()) == policy
        assert evaluate(TABLE, policy).relative_cost < 1
        # Squares are in the same order, so the same samples leave as by max probability.
        plain = Policy("max_probability", np.sqrt(policy.thresholds), policy.enabled)
        np.testing.assert_array_equal(route(TABLE, policy).exits, route(TABLE, plain).exits)
    made, images = network(), noise(100)
    table = table_of(made, images)
    policy = mixed_policy(table, squared)
    got = run_with_skipping(made, normalisation(1).batches(images, 32), policy, table.costs)
    np.testing.assert_array_equal(got.exits, route(table, policy).exits)
