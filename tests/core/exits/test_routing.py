from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import exits_taken, route
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from tests.core.exits.tables import random_table, tables

unit = st.floats(0, 1)


@st.composite
def tables_with_policies(draw: st.DrawFn) -> tuple[ExitTable, Policy]:
    table = draw(tables())
    early = table.num_exits - 1
    criterion = draw(st.sampled_from(list(CRITERIA)))
    seen = CRITERIA[criterion].scores(table).ravel().tolist()
    level = (st.sampled_from(seen) | unit) if seen else unit
    thresholds = draw(st.lists(level, min_size=early, max_size=early))
    enabled = draw(st.lists(st.booleans(), min_size=early, max_size=early))
    return table, Policy(criterion, thresholds, enabled)


@given(tables_with_policies())
def test_each_sample_leaves_at_the_first_enabled_exit_above_its_threshold(
    case: tuple[ExitTable, Policy],
) -> None:
    table, policy = case
    scores = policy.scores(table)
    expected = []
    for row in scores.tolist():
        leaving = [
            exit_index
            for exit_index, score in enumerate(row)
            if policy.enabled[exit_index] and score > policy.thresholds[exit_index]
        ]
        expected.append(leaving[0] if leaving else table.num_exits - 1)
    routing = route(table, policy)
    assert routing.exits.tolist() == expected
    costs = table.costs.at_exits(policy.enabled)
    for sample, exit_index in enumerate(expected):
        assert routing.answers[sample] == routing.exit_answers[sample, exit_index]
        assert routing.costs[sample] == costs[exit_index]
        if exit_index < table.num_exits - 1:
            assert routing.scores[sample] == scores[sample, exit_index]


@given(tables_with_policies(), st.data())
def test_raising_a_threshold_never_makes_a_sample_leave_earlier(
    case: tuple[ExitTable, Policy], data: st.DataObject
) -> None:
    table, policy = case
    raised = [data.draw(st.floats(level, 1)) for level in policy.thresholds]
    later = route(table, replace(policy, thresholds=tuple(raised)))
    assert (later.exits >= route(table, policy).exits).all()


def test_a_score_equal_to_its_threshold_stays() -> None:
    scores = np.array([[0.1], [0.5], [1.0]], np.float32)
    assert exits_taken(scores, [0.5], [True]).tolist() == [1, 1, 0]
    assert exits_taken(scores, [1.0], [True]).tolist() == [1, 1, 1]
    assert exits_taken(scores, [0.0], [False]).tolist() == [1, 1, 1]
    tenth = float(np.float32(0.1))
    assert exits_taken(scores, [np.nextafter(tenth, 0)], [True])[0] == 0
    assert exits_taken(scores, [tenth], [True])[0] == 1


def test_never_costs_the_plain_network_and_answers_as_the_last_exit() -> None:
    table = random_table()
    routing = route(table, Policy.never("entropy", table.num_exits))
    assert (routing.exits == 3).all()
    np.testing.assert_allclose(routing.costs, 1)
    np.testing.assert_array_equal(routing.answers, table.answers[:, -1])


def test_a_temperature_moves_exits_and_never_the_answer_of_an_exit() -> None:
    table = random_table(200)
    cold = Policy("max_probability", [0.6] * 3)
    hot = replace(cold, temperatures=(4.0,) * 4)
    routing = route(table, hot)
    assert (routing.exits > route(table, cold).exits).any()
    np.testing.assert_array_equal(routing.answers, table.answers[np.arange(200), routing.exits])


def test_a_policy_for_another_network_is_refused() -> None:
    with pytest.raises(UserError, match="expected 3 thresholds"):
        route(random_table(), Policy("entropy", [0.5]))
    with pytest.raises(UserError, match="expected 1 thresholds"):
        exits_taken(np.zeros((2, 1)), [0.5], [True, False])


def test_flips_are_told_by_sample() -> None:
    table = random_table(300)
    routing = route(table, Policy("max_probability", [0.5] * 3))
    assert routing.rescued.any()
    assert routing.ruined.any()
    for position in range(300):
        right, last = routing.right[position], table.right[position, -1]
        expected = None if right == last else "rescued" if right else "ruined"
        assert routing.flip(position) == expected


def test_the_probability_is_that_of_the_answer_where_it_is_given() -> None:
    table, policy = random_table(400, seed=3), Policy("margin", [0.1, 0.2, 0.3])
    routing = route(table, policy)
    expected = table.probabilities[np.arange(400), routing.exits, routing.answers]
    assert np.array_equal(routing.probabilities, expected)
    assert np.allclose(route(table.truncated(3), policy).probabilities, expected, atol=1e-6)


def test_the_final_score_is_that_of_the_answer_where_the_criterion_is_learned() -> None:
    table = random_table(30, 3)
    scores = route(table, Policy("confidence", [1, 1])).exit_scores
    np.testing.assert_array_equal(scores[:, :2], table.confidence)
    np.testing.assert_array_equal(scores[:, 2], table.probabilities[:, 2].max(axis=1))
    margins = route(table, Policy("margin", [1, 1])).exit_scores
    np.testing.assert_array_equal(margins[:, 2], CRITERIA["margin"].score(table, 2))
