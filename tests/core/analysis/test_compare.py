import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.compare import (
    CHANGES,
    FIELDS,
    ORDERS,
    Comparison,
    Order,
    compare,
    differences,
    in_macs,
    sign_test,
    to_csv,
)
from core.exits.intervals import difference_interval
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from tests.core.exits.tables import changed, last_exit_only, random_table
from tests.core.exits.test_routing import tables_with_policies

TABLE = random_table(400, seed=3)
BOLD, CAREFUL = Policy("margin", [0.1, 0.2, 0.3]), Policy("entropy", [0.6, 0.5, 0.4])


def found() -> Comparison:
    return compare(TABLE, CAREFUL, TABLE, BOLD)


def test_no_order_loses_or_invents_anybody() -> None:
    both = found()
    for change in (None, *CHANGES):
        in_data = both.changed(change, "data")
        assert np.all(np.diff(in_data) > 0)
        assert len(in_data) == both.count(change)
        for order in ORDERS:
            assert sorted(both.changed(change, order)) == in_data.tolist()


def test_mistakes_come_first_and_the_surest_of_them_before_the_others() -> None:
    both = found()
    sure = both.b.probabilities
    signs: dict[Order, int] = {"surest": -1, "least_sure": 1}
    for order, sign in signs.items():
        positions = both.changed(order=order)
        assert np.all(np.diff(both.changes[positions]) >= 0)
        for change in CHANGES:
            assert np.all(np.diff(sign * sure[both.changed(change, order)]) >= 0)


def test_compute_is_compared_in_macs() -> None:
    both = found()
    apart = np.abs(30 * both.b.costs - 10 * both.a.costs)
    positions = both.changed(order="compute", plain_macs=(10, 30))
    assert np.all(np.diff(apart[positions]) <= 0)


def test_exits_of_unlike_networks_are_not_compared() -> None:
    both = compare(TABLE, BOLD, last_exit_only(TABLE), Policy("margin", []))
    assert both.count("other_exit") == 0
    assert both.count() > 0
    assert not both.same_exits


def test_without_a_label_nothing_is_right_or_wrong() -> None:
    table = replace(TABLE, labels=np.full(len(TABLE), -1))
    both = compare(table, CAREFUL, table, BOLD)
    assert both.count("to_right") == both.count("to_wrong") == 0
    assert both.count("other_answer") > 0
    assert "to_wrong" not in to_csv(both, both.changed())


def test_a_csv_says_what_both_say() -> None:
    both = found()
    positions = both.changed()
    lines = list(csv.DictReader(io.StringIO(to_csv(both, positions))))
    assert len(lines) == both.count()
    assert tuple(lines[0]) == FIELDS
    first = int(positions[0])
    assert lines[0]["change"] == "to_wrong"
    assert lines[0]["label"] == lines[0]["a_answer"] == TABLE.classes[TABLE.labels[first]]
    assert (lines[0]["a_right"], lines[0]["b_right"]) == ("1", "0")
    assert int(lines[0]["b_exit"]) == both.b.exits[first] + 1
    assert float(lines[0]["b_probability"]) == pytest.approx(both.b.probabilities[first], rel=1e-5)


@pytest.mark.parametrize("wrong", [{"change": "better"}, {"order": "random"}])
def test_what_there_is_not_is_a_sentence(wrong: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"expected `(change|order)` to be one of"):
        found().changed(**wrong)  # type: ignore[arg-type]


@given(tables_with_policies(), st.integers(0, 2**31))
def test_what_changed_is_counted_sample_by_sample(
    case: tuple[ExitTable, Policy], seed: int
) -> None:
    table, policy = case
    other = Policy("margin", np.random.default_rng(seed).uniform(size=table.num_exits - 1))
    found = compare(table, policy, table, other)
    a, b = route(table, policy), route(table, other)
    assert found.changed_exit == np.sum(a.exits != b.exits)
    assert found.changed_answer == np.sum(a.answers != b.answers)
    for position, label in enumerate(table.labels):
        right = a.answers[position] == label, b.answers[position] == label
        expected = {(True, False): "to_wrong", (False, True): "to_right"}.get(right)
        if expected is None and a.answers[position] != b.answers[position]:
            expected = "other_answer"
        elif expected is None and a.exits[position] != b.exits[position]:
            expected = "other_exit"
        assert found.change(position) == expected
    assert sum(found.count(change) for change in CHANGES) == found.count()
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
    assert found.count() == 0
    same = differences(found, 1000, 1000)
    assert (same.accuracy, same.relative_cost, same.macs, same.times) == (0, 0, 0, 1)
    low, high = same.accuracy_interval
    assert low < 0 < high  # other images could tell them apart
    assert same.relative_cost_interval == (0, 0)


def test_differences_carry_paired_intervals() -> None:
    table = random_table(300)
    found = compare(table, Policy("entropy", [0.2] * 3), table, Policy("entropy", [0.7] * 3))
    apart = differences(found, 1000, 1000)
    assert apart.accuracy_interval == difference_interval(found.to_wrong, found.to_right, 300)
    low, high = apart.relative_cost_interval
    assert low < apart.relative_cost < high
    assert np.isnan(differences(found, 1000, 2000).relative_cost_interval[0])
    unknown = changed(table, labels=np.full(300, -1))
    other = compare(unknown, Policy("entropy", [0.2] * 3), unknown, Policy("entropy", [0.7] * 3))
    assert np.isnan(differences(other, 1000, 1000).accuracy_interval[0])


def test_networks_with_other_numbers_of_exits_have_no_exits_in_common() -> None:
    table = random_table(60, exits=4)
    last = last_exit_only(table)
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
    tosses = better + worse
    as_uneven = sum(math.comb(tosses, heads) for heads in range(min(better, worse) + 1))
    expected = min(1.0, 2 * as_uneven / 2**tosses)
    assert sign_test(better, worse) == pytest.approx(expected, rel=1e-9)
    assert sign_test(better, worse) == sign_test(worse, better)


def test_the_sign_test_does_not_overflow() -> None:
    assert sign_test(5000, 5000) == 1
    assert sign_test(0, 20_000) == 0


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
