from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exits.criteria import CRITERIA, available
from core.exits.table import ExitTable, normalised_entropy
from core.foundation.costs import Costs
from core.foundation.errors import UserError
from tests.core.exits.tables import changed, random_table, tables


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("probabilities", np.zeros((50, 4)), r"`probabilities` of shape \(N, E, K\)"),
        ("probabilities", np.full((50, 4, 5), np.nan), r"`probabilities` to lie in \[0, 1\]"),
        ("probabilities", np.full((50, 4, 5), 3.0), r"`probabilities` to lie in \[0, 1\]"),
        ("probabilities", np.full((50, 4, 5), 0.9), "add up to 1"),
        ("probabilities", np.zeros((50, 0, 5)), "at least one exit"),
        ("probabilities", np.full((50, 4, 5), "a"), "to hold numbers"),
        ("confidence", np.zeros((50, 2)), r"`confidence` of shape \(N, E-1\)"),
        ("confidence", np.full((50, 3), 1.5), r"`confidence` to lie in \[0, 1\]"),
        ("labels", np.full(50, 5), "`labels` to be from -1 to 4"),
        ("labels", np.zeros(49, int), "`labels` of shape"),
        ("labels", np.zeros(50), "`labels` to hold whole numbers"),
        ("ids", np.zeros(50), "`ids` to hold whole numbers"),
        ("costs", Costs([0.9], [0.1]), "`costs` of 4 exits"),
        ("classes", ("one", "two"), r"`probabilities` of shape \(N, E, K\)"),
        ("entropy", np.zeros((50, 3)), r"`entropy` of shape \(N, E\)"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        changed(random_table(), **{field: value})


def test_top_classes_need_entropy_order_and_range() -> None:
    table = random_table().truncated(3)
    with pytest.raises(UserError, match="`entropy` where `top_classes`"):
        changed(table, entropy=None)
    with pytest.raises(UserError, match="descending"):
        changed(table, probabilities=table.probabilities[:, :, ::-1])
    with pytest.raises(UserError, match="`top_classes` to be from 0 to 4"):
        changed(table, top_classes=np.full((50, 4, 3), 5))
    with pytest.raises(UserError, match="two `top_classes`"):
        random_table().truncated(1)


def test_arrays_are_read_only_and_the_callers_stay_writable() -> None:
    probabilities = np.full((2, 1, 2), 0.5, np.float32)
    table = ExitTable(
        probabilities,
        None,
        np.zeros(2, int),
        np.arange(2),
        Costs([0.9], [0.1]),
        ("a", "b"),
    )
    with pytest.raises(ValueError, match="read-only"):
        table.probabilities[0, 0, 0] = 1
    probabilities[0, 0, 0] = 0.25
    assert table.num_exits == 1
    assert len(table) == 2


def test_the_lowest_class_wins_a_tie_and_an_unknown_label_is_not_right() -> None:
    table = changed(
        random_table(2, 1, 4), probabilities=[[[0.1, 0.4, 0.4, 0.1]]] * 2, labels=[1, -1]
    )
    assert table.answers.tolist() == [[1], [1]]
    assert table.right.tolist() == [[True], [False]]
    assert table.accuracy_per_exit.tolist() == [1.0]
    assert np.isnan(changed(table, labels=[-1, -1]).accuracy_per_exit).all()


def test_select_takes_positions_in_order_or_a_mask() -> None:
    table = random_table(6)
    assert table.select([4, 1]).ids.tolist() == [4, 1]
    picked = table.select(table.ids % 2 == 0)
    assert picked.ids.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(picked.answers, table.answers[::2])
    assert len(table.select([])) == 0


@given(tables(), st.integers(2, 6))
def test_a_truncated_table_answers_and_scores_as_the_whole_one(table: ExitTable, k: int) -> None:
    short = table.truncated(k)
    np.testing.assert_array_equal(short.answers, table.answers)
    np.testing.assert_array_equal(short.right, table.right)
    for name in available(short):
        criterion = CRITERIA[name]
        np.testing.assert_allclose(criterion.scores(short), criterion.scores(table), atol=1e-6)


def test_normalised_entropy_spans_nought_to_one() -> None:
    assert normalised_entropy(np.array([0, 1, 0], np.float32)) == 0
    assert normalised_entropy(np.full(7, 1 / 7, np.float32)) == pytest.approx(1)
    assert normalised_entropy(np.array([0.5, 0.5, 0, 0], np.float32)) == pytest.approx(0.5)
