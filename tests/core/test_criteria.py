import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.criteria import CRITERIA, available
from core.errors import UserError
from core.table import ExitTable
from tests.core.tables import changed, random_table, tables


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
        stage_costs=table.stage_costs[:so_far],
        head_costs=table.head_costs[:so_far],
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


def test_only_criteria_that_the_table_can_give_are_available() -> None:
    table = random_table(confidence=False)
    assert available(random_table()) == tuple(CRITERIA)
    assert available(table) == tuple(name for name in CRITERIA if name != "confidence")
    with pytest.raises(UserError, match="max_probability, entropy, margin"):
        CRITERIA["confidence"].scores(table)
    with pytest.raises(UserError, match="at exit 3"):
        CRITERIA["confidence"].score(random_table(), 3)
    with pytest.raises(UserError, match="Did you mean 'entropy'"):
        CRITERIA["entropie"]
