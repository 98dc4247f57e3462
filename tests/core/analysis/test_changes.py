import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from core.analysis.changes import FIELDS, KINDS, ORDERS, Changes, Order, changes, listed, to_csv
from core.exits.policy import Policy
from core.exits.routing import decide
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from tests.core.exits.tables import random_table

TABLE = random_table(400, seed=3)
BOLD, CAREFUL = Policy("margin", [0.1, 0.2, 0.3]), Policy("entropy", [0.6, 0.5, 0.4])


def found() -> Changes:
    return changes(TABLE, CAREFUL, TABLE, BOLD)


def test_every_sample_is_of_one_kind() -> None:
    both = found()
    a, b = decide(TABLE, CAREFUL), decide(TABLE, BOLD)
    for position in range(len(TABLE)):
        label = TABLE.labels[position]
        right = a.answers[position] == label, b.answers[position] == label
        if right == (True, False):
            expected = "to_wrong"
        elif right == (False, True):
            expected = "to_right"
        elif a.answers[position] != b.answers[position]:
            expected = "other_answer"
        elif a.exits[position] != b.exits[position]:
            expected = "other_exit"
        else:
            expected = None
        assert both.kind(position) == expected
    assert all(both.count(kind) for kind in KINDS)
    assert sum(both.count(kind) for kind in KINDS) == both.count()
    assert len(both) == len(TABLE)


def test_the_probability_is_that_of_the_answer_where_it_is_given() -> None:
    rows = np.arange(len(TABLE))
    decision = decide(TABLE, BOLD)
    expected = TABLE.probabilities[rows, decision.exits, decision.answers]
    assert np.array_equal(found().b.probabilities, expected)
    few = TABLE.truncated(3)
    assert np.allclose(changes(few, BOLD, few, BOLD).b.probabilities, expected, atol=1e-6)


def test_no_order_loses_or_invents_anybody() -> None:
    both = found()
    for kind in (None, *KINDS):
        in_data = listed(both, kind, "data")
        assert np.all(np.diff(in_data) > 0)
        assert len(in_data) == both.count(kind)
        for order in ORDERS:
            assert sorted(listed(both, kind, order)) == in_data.tolist()


def test_mistakes_come_first_and_the_surest_of_them_before_the_others() -> None:
    both = found()
    sure = both.b.probabilities
    signs: dict[Order, int] = {"surest": -1, "least_sure": 1}
    for order, sign in signs.items():
        positions = listed(both, order=order)
        assert np.all(np.diff(both.kinds[positions]) >= 0)
        for kind in KINDS:
            assert np.all(np.diff(sign * sure[listed(both, kind, order)]) >= 0)


def test_compute_is_compared_in_macs() -> None:
    both = found()
    apart = np.abs(30 * both.b.decision.costs - 10 * both.a.decision.costs)
    positions = listed(both, order="compute", plain_macs=(10, 30))
    assert np.all(np.diff(apart[positions]) <= 0)


def only_last_exit(table: ExitTable) -> ExitTable:
    return replace(
        table,
        probabilities=table.probabilities[:, -1:],
        confidence=None,
        stage_costs=table.stage_costs.sum(keepdims=True),
        head_costs=table.head_costs[-1:],
    )


def test_exits_of_unlike_networks_are_not_compared() -> None:
    both = changes(TABLE, BOLD, only_last_exit(TABLE), Policy("margin", []))
    assert both.count("other_exit") == 0
    assert both.count() > 0
    assert (both.a.num_exits, both.b.num_exits) == (4, 1)


def test_without_a_label_nothing_is_right_or_wrong() -> None:
    table = replace(TABLE, labels=np.full(len(TABLE), -1))
    both = changes(table, CAREFUL, table, BOLD)
    assert both.count("to_right") == both.count("to_wrong") == 0
    assert both.count("other_answer") > 0
    assert "to_wrong" not in to_csv(both, listed(both))


def test_a_csv_says_what_both_say() -> None:
    both = found()
    positions = listed(both)
    lines = list(csv.DictReader(io.StringIO(to_csv(both, positions))))
    assert len(lines) == both.count()
    assert tuple(lines[0]) == FIELDS
    first = int(positions[0])
    assert lines[0]["change"] == "to_wrong"
    assert lines[0]["label"] == lines[0]["a_answer"] == TABLE.classes[TABLE.labels[first]]
    assert (lines[0]["a_right"], lines[0]["b_right"]) == ("1", "0")
    assert int(lines[0]["b_exit"]) == both.b.decision.exits[first] + 1
    assert float(lines[0]["b_probability"]) == pytest.approx(both.b.probabilities[first], rel=1e-5)


def test_nothing_changes_against_oneself() -> None:
    both = changes(TABLE, BOLD, TABLE, BOLD)
    assert both.count() == 0
    assert len(listed(both)) == 0


@pytest.mark.parametrize("asked", [{"kind": "better"}, {"order": "random"}])
def test_what_there_is_not_is_a_sentence(asked: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"expected `(kind|order)` to be one of"):
        listed(found(), **asked)  # type: ignore[arg-type]
