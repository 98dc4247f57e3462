"""What becomes of a policy when the images of a stream change."""

from dataclasses import replace

import numpy as np
import pytest

from core.analysis.drift import WINDOW, Drifted, Outcome, under_drift
from core.exits.cost_controller import HeldCost
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.table import ExitTable
from tests.core.exits.tables import random_table

POLICY = Policy("confidence", [0.6, 0.7, 0.8])


def unsure(table: ExitTable) -> ExitTable:
    assert table.confidence is not None
    return replace(table, confidence=table.confidence / 2)


def test_figures_are_those_of_the_policy_and_of_a_controller() -> None:
    table = random_table(3000)
    calibration, stream = table.select(np.arange(1500)), table.select(np.arange(1500, 3000))
    cost = HeldCost.of(calibration, POLICY)
    plain_right = stream.labels % 2 == 0
    found = under_drift(Drifted(stream, plain_right), Drifted(unsure(stream), plain_right), cost)
    report = evaluate(unsure(stream), POLICY)
    assert found.samples == 1500
    assert found.against_plain
    assert found.fixed.accuracy == report.accuracy
    assert found.fixed.relative_cost == pytest.approx(report.relative_cost)
    assert found.reference_accuracy == plain_right.mean()
    difference, (low, high) = found.fixed.difference, found.fixed.difference_interval
    assert difference == pytest.approx(report.accuracy - plain_right.mean())
    assert low < difference < high
    assert found.fixed.relative_cost > cost.relative_cost + 0.05
    assert found.settled_cost == pytest.approx(cost.relative_cost, abs=0.03)
    running = found.fixed_running_cost
    assert len(running) == len(found.held_running_cost) == 3000
    assert np.isnan(running[: WINDOW - 1]).all()
    clean = evaluate(stream.select(np.arange(1500 - WINDOW, 1500)), POLICY)
    assert running[1499] == pytest.approx(clean.relative_cost)
    assert running[-1] > running[1499]
    assert abs(found.held_running_cost[-500:].mean() - cost.relative_cost) < 0.03


def test_without_a_plain_network_the_last_exit_is_the_reference() -> None:
    table = random_table(400)
    found = under_drift(*[Drifted(table, None)] * 2, HeldCost.of(table, POLICY))
    assert found.reference_accuracy == table.accuracy_per_exit[-1]
    assert not found.against_plain


@pytest.mark.parametrize(
    ("wrong", "max_drop", "verdict"),
    [(100, 0.05, "broken"), (100, 0.15, "kept"), (100, 0.1, "open"), (0, 0.01, "kept")],
)
def test_the_verdict_is_open_where_the_images_do_not_tell(
    wrong: int, max_drop: float, verdict: str
) -> None:
    right = np.arange(1000) >= wrong
    outcome = Outcome.of(right, np.ones(1000), np.ones(1000, np.bool_))
    assert outcome.verdict(max_drop) == verdict
