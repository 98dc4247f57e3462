from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import answers, decide, route
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
    decision = decide(table, policy)
    assert decision.exits.tolist() == expected
    costs = table.relative_costs(policy.enabled)
    for sample, exit_index in enumerate(expected):
        assert decision.answers[sample] == answers(table, policy)[sample, exit_index]
        assert decision.costs[sample] == costs[exit_index]


@given(tables_with_policies(), st.data())
def test_raising_a_threshold_never_makes_a_sample_leave_earlier(
    case: tuple[ExitTable, Policy], data: st.DataObject
) -> None:
    table, policy = case
    raised = [data.draw(st.floats(level, 1)) for level in policy.thresholds]
    later = decide(table, replace(policy, thresholds=tuple(raised)))
    assert (later.exits >= decide(table, policy).exits).all()


def test_a_score_equal_to_its_threshold_stays() -> None:
    scores = np.array([[0.1], [0.5], [1.0]], np.float32)
    assert route(scores, [0.5], [True]).tolist() == [1, 1, 0]
    assert route(scores, [1.0], [True]).tolist() == [1, 1, 1]
    assert route(scores, [0.0], [False]).tolist() == [1, 1, 1]
    tenth = float(np.float32(0.1))
    assert route(scores, [np.nextafter(tenth, 0)], [True])[0] == 0
    assert route(scores, [tenth], [True])[0] == 1


def test_never_costs_the_plain_network_and_answers_as_the_last_exit() -> None:
    table = random_table()
    decision = decide(table, Policy.never("entropy", table.num_exits))
    assert (decision.exits == 3).all()
    np.testing.assert_allclose(decision.costs, 1)
    np.testing.assert_array_equal(decision.answers, table.answers[:, -1])


def test_a_temperature_moves_exits_and_never_the_answer_of_an_exit() -> None:
    table = random_table(200)
    cold = Policy("max_probability", [0.6] * 3)
    hot = replace(cold, temperatures=(4.0,) * 4)
    decision = decide(table, hot)
    assert (decision.exits > decide(table, cold).exits).any()
    np.testing.assert_array_equal(decision.answers, table.answers[np.arange(200), decision.exits])


def test_a_policy_for_another_network_is_refused() -> None:
    with pytest.raises(UserError, match="expected 3 thresholds"):
        decide(random_table(), Policy("entropy", [0.5]))
    with pytest.raises(UserError, match="expected 1 thresholds"):
        route(np.zeros((2, 1)), [0.5], [True, False])
