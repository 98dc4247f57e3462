"""A front on other samples than it was chosen on."""

import numpy as np

from core.criteria import CRITERIA
from core.table import CostArray, ExitTable, IntArray
from core.tuning.front import Front, accuracy_and_cost


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
    scores = CRITERIA[front.criterion].scores(front.policy(0).heated(table))
    points = [
        accuracy_and_cost(
            scores,
            table.right,
            table.relative_costs(front.enabled[index]),
            front.thresholds[index],
            front.enabled[index],
        )
        for index in chosen
    ]
    accuracy, cost = np.array(points).T
    order = np.argsort(cost, kind="stable")
    return cost[order], accuracy[order], chosen[order]
