"""A front on other samples than it was chosen on."""

import numpy as np

from core.exits.table import CostArray, ExitTable, IntArray
from core.tuning.front import Front, measured


def replay(
    front: Front, table: ExitTable, most: int = 200
) -> tuple[CostArray, CostArray, IntArray]:
    """Return relative cost and accuracy on ``table`` of the front's policies, by rising cost.

    The third array says which of the front's policies each is.

    Args:
        front: chosen on the calibration split.
        table: any split, with labels.
        most: of a longer front so many are taken, evenly spread, both ends included.
    """
    chosen = np.unique(np.linspace(0, len(front) - 1, min(len(front), most)).round().astype(int))
    accuracy, cost = measured(table, [front.policy(index) for index in chosen])
    order = np.argsort(cost, kind="stable")
    return cost[order], accuracy[order], chosen[order]
