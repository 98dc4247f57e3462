import math

import numpy as np
import pytest
from hypothesis import given

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import route
from core.exits.table import ExitTable
from tests.core.exits.tables import changed, random_table
from tests.core.exits.test_routing import tables_with_policies


@given(tables_with_policies())
def test_a_report_agrees_with_the_routing(case: tuple[ExitTable, Policy]) -> None:
    table, policy = case
    report, routing = evaluate(table, policy), route(table, policy)
    last = table.answers[:, -1] == table.labels
    right = routing.answers == table.labels
    assert report.samples == len(table)
    assert report.accuracy == np.mean(right)
    assert report.relative_cost == pytest.approx(
        np.dot(report.exit_share, table.costs.at_exits(policy.enabled))
    )
    assert sum(report.exit_share) == pytest.approx(1)
    assert report.accuracy - last.mean() == pytest.approx(
        (report.rescued - report.ruined) / len(table)
    )
    for exit_index in range(table.num_exits):
        left = routing.exits == exit_index
        assert report.exit_share[exit_index] == left.mean()
        if left.any():
            assert report.accuracy_of_left[exit_index] == right[left].mean()
        else:
            assert math.isnan(report.accuracy_of_left[exit_index])


def test_the_last_exit_is_ranked_too() -> None:
    table = random_table(300)
    learned = evaluate(table, Policy.never("confidence", 4))
    largest = evaluate(table, Policy.never("max_probability", 4))
    assert learned.auroc[:3] != largest.auroc[:3]
    assert learned.auroc[3] == largest.auroc[3]


def test_unlabelled_samples_count_for_cost_and_not_for_accuracy() -> None:
    table = random_table(100)
    policy = Policy("margin", [0.4] * 3)
    labels = np.where(np.arange(100) < 60, table.labels, -1)
    partly, known = changed(table, labels=labels), table.select(np.arange(60))
    assert evaluate(partly, policy).accuracy == evaluate(known, policy).accuracy
    assert evaluate(partly, policy).auroc == evaluate(known, policy).auroc
    assert evaluate(partly, policy).relative_cost == evaluate(table, policy).relative_cost


@pytest.mark.parametrize("samples", [0, 3])
def test_what_is_undefined_is_nan(samples: int) -> None:
    table = changed(random_table(3), labels=[-1] * 3).select(np.arange(samples))
    report = evaluate(table, Policy("entropy", [0.5] * 3))
    assert math.isnan(report.accuracy)
    assert all(map(math.isnan, report.auroc))
    assert report.samples == samples


@pytest.mark.parametrize("name", list(CRITERIA))
def test_a_plain_network_has_a_report(name: str) -> None:
    table = random_table(20, exits=1)
    report = evaluate(table, Policy(name, []))
    assert report.accuracy == table.accuracy_per_exit[0]
    assert report.relative_cost == pytest.approx(1)
