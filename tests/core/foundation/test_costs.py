import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.foundation.costs import Costs, saved
from core.foundation.errors import UserError

COSTS = Costs([0.25, 0.25, 0.375], [0.0625, 0.5, 0.125])

macs = st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 1000)), min_size=1, max_size=6)


def test_costs_add_the_stages_and_the_enabled_heads_so_far() -> None:
    assert COSTS.at_exits().tolist() == [0.3125, 1.0625, 1.5625]
    assert COSTS.at_exits([False, True]).tolist() == [0.25, 1.0, 1.5]
    assert COSTS.at_exits([False, False])[-1] == 1
    with pytest.raises(UserError, match="`enabled`"):
        COSTS.at_exits([True])


@given(macs)
def test_disabling_every_early_exit_costs_exactly_the_plain_network(
    counts: list[tuple[int, int]],
) -> None:
    costs = Costs.of_macs([stage for stage, _ in counts], [head for _, head in counts])
    off = [False] * (len(costs) - 1)
    assert costs.at_exits(off)[-1] == pytest.approx(1)
    assert (np.diff(costs.at_exits()) >= 0).all()
    assert (costs.at_exits() >= costs.at_exits(off)).all()


def test_a_network_cut_off_at_an_exit_computes_no_other_head() -> None:
    alone = COSTS.alone()
    assert alone[-1] == 1
    for exit_index in range(2):
        only = [index == exit_index for index in range(2)]
        assert alone[exit_index] == COSTS.at_exits(only)[exit_index]


def test_stages_between_chosen_exits_belong_to_the_next() -> None:
    some = COSTS.select([1, 2])
    assert some.stages.tolist() == [0.5, 0.375]
    assert some.heads.tolist() == [0.5, 0.125]


@pytest.mark.parametrize(
    ("stages", "heads", "message"),
    [
        ([0.1, np.nan], [0.1, 0.1], "`stages` to be numbers of at least 0 and finite"),
        ([0.1, 0.1], [0.1, -0.1], "`heads` to be numbers of at least 0"),
        ([0.1, "a"], [0.1, 0.1], "`stages` to be numbers"),
        ([[0.1]], [0.1], "`stages` to be numbers"),
        ([0.1, 0.1], [0.1], "as many `heads` as `stages`, but got 1 and 2"),
    ],
)
def test_wrong_costs_are_named(stages: object, heads: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Costs(stages, heads)  # type: ignore[arg-type]


def test_who_spends_more_than_the_plain_network_saves_less_than_nothing() -> None:
    assert saved(0.25) == 0.75
    assert saved(1.02) < 0
