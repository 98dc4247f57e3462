import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exits.criteria import CRITERIA, available
from core.exits.policy import Policy
from core.exits.routing import right_at_end, route
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from tests.core.exits.tables import changed, random_table, tables


@pytest.mark.parametrize("name", list(CRITERIA))
@given(table=tables())
def test_scores_lie_in_the_unit_interval(name: str, table: ExitTable) -> None:
    scores = CRITERIA[name].scores(table)
    assert scores.shape == (len(table), table.num_exits - 1)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("name", list(CRITERIA))
@given(table=tables(), data=st.data())
def test_a_score_depends_on_its_own_sample_and_the_exits_so_far(
    name: str, table: ExitTable, data: st.DataObject
) -> None:
    if table.num_exits == 1:
        return
    exit_index = data.draw(st.integers(0, table.num_exits - 2))
    inside = data.draw(st.lists(st.integers(0, len(table) - 1), min_size=1))
    so_far = exit_index + 1
    assert table.confidence is not None
    partial = changed(
        table,
        probabilities=table.probabilities[:, :so_far],
        confidence=table.confidence[:, :so_far],
        costs=table.costs.select(range(so_far)),
    ).select(inside)
    np.testing.assert_array_equal(
        CRITERIA[name].score(partial, exit_index), CRITERIA[name].score(table, exit_index)[inside]
    )


def test_the_values_of_the_criteria() -> None:
    certain, torn, even = [0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5], [0.25] * 4
    table = changed(
        random_table(3, 2, 4, confidence=False),
        probabilities=[[certain, even], [torn, even], [even, even]],
    )
    assert CRITERIA["max_probability"].score(table, 0).tolist() == [1, 0.5, 0.25]
    assert CRITERIA["margin"].score(table, 0).tolist() == [1, 0, 0]
    np.testing.assert_allclose(CRITERIA["entropy"].score(table, 0), [1, 0.5, 0], atol=1e-6)


def saying(answers: list[list[int]]) -> ExitTable:
    """A table of these answers (N, E) among 4 classes."""
    table = random_table(len(answers), len(answers[0]), 4, confidence=False)
    return changed(table, probabilities=np.eye(4)[answers])


def test_patience_counts_the_exits_in_a_row_that_agree() -> None:
    table = saying([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]])
    expected = [[1 / 2, 2 / 3, 3 / 4], [1 / 2, 1 / 2, 2 / 3], [1 / 2] * 3, [1 / 2, 1 / 2, 2 / 3]]
    np.testing.assert_allclose(CRITERIA["patience"].scores(table), expected)
    skipped = CRITERIA["patience"].scores(table, [True, False, True])
    np.testing.assert_allclose(skipped[:, 2], [2 / 3, 1 / 2, 2 / 3, 1 / 2])


def alive_by_hand(probabilities: np.ndarray, beta: float) -> list[set[int]]:
    """The published rule, exit by exit: the likeliest class and whoever is alive and not far."""
    alive, seen = set(range(probabilities.shape[1])), []
    for said in probabilities:
        alive = {c for c in alive if said[c] >= beta * said.max()} | {int(said.argmax())}
        seen.append(alive)
    return seen


def test_class_exclusion_is_the_published_rule_when_all_exits_share_a_beta() -> None:
    table = random_table(200, 4, 5, confidence=False)
    scores = CRITERIA["exclusion"].scores(table)
    rule = CRITERIA["exclusion"].ruled_out
    assert rule is not None
    for beta in (0.15, 0.4, 0.8):
        policy = Policy("exclusion", (1 - beta,) * 3)
        decision = route(table, policy)
        for row in range(len(table)):
            alive = alive_by_hand(table.probabilities[row, :3].astype(float), beta)
            for index in range(3):
                out = rule(table, index)[row] > 1 - beta
                assert set(np.flatnonzero(~out).tolist()) == alive[index]
                assert (scores[row, index] > 1 - beta) == (len(alive[index]) == 1)
            leaves = [index for index in range(3) if len(alive[index]) == 1]
            assert decision.exits[row] == (leaves or [3])[0]
            if not leaves:
                left = sorted(alive[-1])
                best = left[int(table.probabilities[row, 3, left].argmax())]
                assert decision.answers[row] == best


def test_the_window_tells_for_which_thresholds_the_final_answer_is_right() -> None:
    table = random_table(300, 4, 5, confidence=False)
    for enabled in ((True, True, True), (True, False, True), (True, True, False)):
        for level in np.linspace(0, 1, 11):
            policy = Policy("exclusion", (1.0, 1.0, 1.0), enabled)
            policy = Policy("exclusion", [level if on else 1.0 for on in enabled], enabled)
            window, decision = right_at_end(table, policy), route(table, policy)
            assert window is not None
            right = (window[:, 0] <= level) & (level < window[:, 1])
            end = decision.exits == 3
            np.testing.assert_array_equal(right[end], (decision.answers == table.labels)[end])
    assert right_at_end(table, Policy("margin", (0.5,) * 3)) is None
    assert right_at_end(table, Policy.never("exclusion", 4)) is None


def test_gates_share_out_one_unit_of_probability() -> None:
    table = changed(random_table(2, 4, 3), confidence=[[0.5, 0.25, 0.5], [0.9, 0.9, 0.3]])
    expected = [[0.5, 0.5, 1.0], [0.9, 1.0, 0.0]]
    np.testing.assert_allclose(CRITERIA["gate"].scores(table)[0], expected[0], rtol=1e-6)
    # P = .9, min(.9, .1), 0: the second gate gets all that is left.
    np.testing.assert_allclose(CRITERIA["gate"].scores(table)[1, :2], expected[1][:2], rtol=1e-6)
    first_off = CRITERIA["gate"].scores(table, [False, True, True])
    np.testing.assert_allclose(first_off[0, 1:], [0.25, 0.5 / 0.75], rtol=1e-6)


def test_only_criteria_that_the_table_can_give_are_available() -> None:
    table = random_table(confidence=False)
    learned = {name for name, one in CRITERIA.items() if one.needs_confidence}
    assert learned == {"confidence", "gate"}
    assert available(random_table()) == tuple(CRITERIA)
    assert available(table) == tuple(name for name in CRITERIA if name not in learned)
    assert "exclusion" not in available(table.truncated(2))
    with pytest.raises(UserError, match="max_probability, entropy, margin"):
        CRITERIA["confidence"].scores(table)
    with pytest.raises(UserError, match="at exit 3"):
        CRITERIA["confidence"].score(random_table(), 3)
    with pytest.raises(UserError, match="Did you mean 'entropy'"):
        CRITERIA["entropie"]
