"""The front of every shipped model against every policy of a grid, counted independently."""

from collections.abc import Iterator

import numpy as np
import pytest

from core.exits.criteria import CRITERIA, available
from core.exits.table import CostArray, ExitTable
from core.hub.registry import card_of, shipped_models, shipped_table
from core.tuning.front import front

GRID = 50


def exhaustive(table: ExitTable, criterion: str) -> Iterator[tuple[CostArray, CostArray]]:
    """Right answers and total cost of every combination of 50 uniform thresholds, in pieces."""
    scores = CRITERIA[criterion].scores(table)
    levels = np.linspace(0, 1, GRID)
    # a sample stays inside at every level from this one on
    stays = np.stack([np.searchsorted(levels, column.astype(float)) for column in scores.T], axis=1)
    costs = table.relative_costs()
    right = table.right.astype(np.int64)
    last = table.num_exits - 2

    def descend(exit_index: int, inside: np.ndarray, correct: int, cost: float):  # type: ignore[no-untyped-def]
        ranks = stays[inside, exit_index]
        here, after = right[inside, exit_index], right[inside, exit_index + 1]
        if exit_index == last:
            staying = np.bincount(ranks, minlength=GRID + 1)[:GRID].cumsum()
            swapped = np.bincount(ranks, weights=after - here, minlength=GRID + 1)[:GRID].cumsum()
            left = len(inside) - staying
            yield (
                correct + here.sum() + swapped,
                cost + left * costs[exit_index] + staying * costs[-1],
            )
            return
        for level in range(GRID):
            stay = ranks <= level
            leavers = ~stay
            yield from descend(
                exit_index + 1,
                inside[stay],
                correct + int(here[leavers].sum()),
                cost + np.count_nonzero(leavers) * costs[exit_index],
            )

    yield from descend(0, np.arange(len(table)), 0, 0.0)


@pytest.mark.parametrize(
    "name", [name for name in shipped_models() if 1 < card_of(name).num_exits <= 5]
)
def test_front_is_at_least_as_good_as_the_whole_grid(name: str) -> None:
    table = shipped_table(name, "calibration")
    best = "confidence" if "confidence" in available(table) else "max_probability"
    found = front(table, best)
    accuracy = np.append(-1.0, found.accuracy)
    worst = 0.0
    for right, cost in exhaustive(table, best):
        reach = np.searchsorted(found.relative_cost, cost / len(table) + 1e-9, side="right")
        worst = max(worst, float((right / len(table) - accuracy[reach]).max()))
    assert worst <= 1e-9
