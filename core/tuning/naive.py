"""Naive tuning, simulated: the cheapest thresholds of any score that look good enough.

That is what one does without knowing better: try millions of thresholds and several scores on the
calibration images, and keep the cheapest that lose no more than allowed on these very images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.exits.policy import Policy
from core.exits.table import CostArray, ExitTable
from core.foundation.errors import UserError
from core.tuning.front import Front, cheapest_within_drop, front, outcomes
from core.tuning.risk import ROUNDING

SETS = 60


def broken(drops: CostArray, max_drop: float) -> float:
    """Return the share of drops that are larger than allowed."""
    return float((drops > max_drop + ROUNDING).mean())


@dataclass(frozen=True, eq=False)
class NaiveSets:
    """The fronts of several scores on D simulated calibration sets.

    Attributes:
        fronts: for each set, the front of every score; a front holds the best of all vectors of
            thresholds there are on the set.
        reference: ``(D,)`` accuracy of the last exit on each set.
    """

    fronts: tuple[tuple[Front, ...], ...]
    reference: tuple[float, ...]

    @classmethod
    def of(
        cls,
        table: ExitTable,
        criteria: Sequence[str],
        samples: int,
        sets: int = SETS,
        seed: int = 0,
    ) -> "NaiveSets":
        """Draw the sets from a population, with replacement, and search their fronts.

        Args:
            table: the population, all labelled.
            criteria: names in `core.exits.criteria.CRITERIA`.
            samples: number of samples per set.
            sets: D.
            seed: of the draws.
        """
        random = np.random.default_rng(seed)
        drawn = [table.select(random.integers(len(table), size=samples)) for _ in range(sets)]
        return cls(
            tuple(tuple(front(one, name) for name in criteria) for one in drawn),
            tuple(float(one.accuracy_per_exit[-1]) for one in drawn),
        )

    def choose(self, table: ExitTable, max_drop: float) -> tuple[CostArray, CostArray]:
        """Return the true drop and relative cost ``(D,)`` of what naive tuning takes on each set.

        Args:
            table: the population.
            max_drop: accuracy that may be lost against the last exit, on the set.
        """
        last = table.right[:, -1].mean()
        drops, costs = [], []
        for fronts, reference in zip(self.fronts, self.reference, strict=True):
            try:
                policy = cheapest_within_drop(fronts, reference, min(max_drop, reference))
            except UserError:  # none leaves early
                policy = Policy.never(fronts[0].criterion, table.num_exits)
            right, cost = next(outcomes(table, [policy]))
            drops.append(last - right.mean())
            costs.append(cost.mean())
        return np.array(drops), np.array(costs)
