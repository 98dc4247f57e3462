import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from core.analysis.compare import Differences, compare, differences, in_macs, sign_test
from core.exits.policy import Policy, read_thresholds, write_thresholds
from core.exits.report import evaluate
from core.exits.routing import decide
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from tests.core.exits.tables import random_table
from tests.core.exits.test_routing import tables_with_policies


@given(tables_with_policies(), st.integers(0, 2**31))
def test_what_changed_is_counted_sample_by_sample(
    case: tuple[ExitTable, Policy], seed: int
) -> None:
    table, policy = case
    other = Policy("margin", np.random.default_rng(seed).uniform(size=table.num_exits - 1))
    found = compare(table, policy, table, other)
    a, b = decide(table, policy), decide(table, other)
    right_a, right_b = a.answers == table.labels, b.answers == table.labels
    assert found.changed_exit == np.sum(a.exits != b.exits)
    assert found.changed_answer == np.sum(a.answers != b.answers)
    assert found.to_right == np.sum(~right_a & right_b)
    assert found.to_wrong == np.sum(right_a & ~right_b)
    for row in range(table.num_exits):
        for column in range(table.num_exits):
            both = (a.exits == row) & (b.exits == column)
            assert found.exits[row, column] == both.sum()
    assert found.first.accuracy == evaluate(table, policy).accuracy
    gained = (found.to_right - found.to_wrong) / len(table)
    assert found.second.accuracy - found.first.accuracy == pytest.approx(gained)


def test_a_configuration_equals_itself() -> None:
    table = random_table(80)
    policy = Policy("entropy", [0.5] * 3)
    found = compare(table, policy, table, policy)
    assert found.changed_exit == found.changed_answer == found.to_right == found.to_wrong == 0
    assert found.p_value == 1
    assert found.changes.count() == 0
    assert differences(found, 1000, 1000) == Differences(0, 0, 0, 1)


def test_networks_with_other_numbers_of_exits_have_no_exits_in_common() -> None:
    table = random_table(60, exits=4)
    last = replace(
        table,
        probabilities=table.probabilities[:, -1:],
        confidence=None,
        stage_costs=table.stage_costs.sum(keepdims=True),
        head_costs=table.head_costs[-1:],
    )
    found = compare(table, Policy("margin", [0.6] * 3), last, Policy("margin", []))
    assert found.changed_exit is None
    assert found.exits.shape == (4, 1)
    assert found.exits.sum() == 60
    assert found.to_right == found.first.ruined
    assert found.to_wrong == found.first.rescued


def test_samples_without_a_label_change_neither_way() -> None:
    table = replace(random_table(60), labels=np.full(60, -1))
    found = compare(table, Policy("margin", [0] * 3), table, Policy("margin", [1] * 3))
    assert found.to_right == found.to_wrong == 0
    assert found.changed_exit == 60
    assert math.isnan(found.first.accuracy)


@pytest.mark.parametrize("what", ["ids", "labels", "classes", "number"])
def test_other_samples_are_refused(what: str) -> None:
    table = random_table(30)
    other = {
        "ids": replace(table, ids=table.ids + 1),
        "labels": replace(table, labels=(table.labels + 1) % 5),
        "classes": replace(table, classes=tuple("vwxyz")),
        "number": table.select(np.arange(29)),
    }[what]
    policy = Policy("margin", [0.5] * 3)
    with pytest.raises(UserError, match="expected two tables"):
        compare(table, policy, other, policy)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_is_the_exact_binomial_test(better: int, worse: int) -> None:
    found = sign_test(better, worse)
    expected = binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert found == pytest.approx(expected, rel=1e-9)
    assert found == sign_test(worse, better)


def test_the_sign_test_does_not_overflow() -> None:
    assert sign_test(5000, 5000) == 1
    assert sign_test(0, 20_000) == 0
    assert sign_test(400, 600) == pytest.approx(binomtest(400, 1000).pvalue, rel=1e-9)


def test_costs_of_unlike_networks_meet_in_macs() -> None:
    assert in_macs(np.array([0.5, 1.0]), 800).tolist() == [400, 800]
    table = random_table(50)
    found = compare(table, Policy("margin", [0] * 3), table, Policy("margin", [1] * 3))
    macs_a, macs_b = 100 * found.first.relative_cost, 1000 * found.second.relative_cost
    apart = differences(found, 100, 1000)
    assert apart.accuracy == found.second.accuracy - found.first.accuracy
    assert apart.macs == pytest.approx(macs_b - macs_a)
    assert apart.times == pytest.approx(macs_b / macs_a)
    assert math.isnan(apart.relative_cost)  # their units are not the same
    alike = differences(found, 100, 100)
    assert alike.relative_cost == found.second.relative_cost - found.first.relative_cost


def test_thresholds_are_read_as_they_are_written() -> None:
    policy = Policy("margin", [0.25, 0.9, 1], [True, False, True], [1, 2, 1, 1])
    assert write_thresholds(policy) == "0.25, off, 1"
    assert read_thresholds(write_thresholds(policy), policy) == policy
    assert read_thresholds(" .5;OFF  0 ", policy).thresholds == (0.5, 0.9, 0)


@pytest.mark.parametrize(
    "text", ["", "0.5", "0.5, 0.5, 0.5, 0.5", "a, 0.5, 0.5", "2, 0, 0", "nan,0,0"]
)
def test_thresholds_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected"):
        read_thresholds(text, Policy("margin", [0.5] * 3))
