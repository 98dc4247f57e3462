"""Line search for the accuracy–cost front: on a line, one exit's threshold takes every value.

A threshold is represented by a *cut*: the number of distinct scores of its exit that stay inside.
At the highest cut every sample stays; switching the exit off has the same effect at less cost, so
that cut means off.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.exits.table import BoolArray, CostArray, FloatArray, IntArray
from core.foundation.costs import Costs

ROUNDS = 12
LINES = 100  # points of the front whose lines are searched in one round

_AT_ONCE = 2**16  # samples on lines that are searched together
_DECIMALS = 12  # costs that differ by less are equal: the difference is rounding

Numbers = NDArray[np.integer] | NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Problem:
    """N samples at E exits, E-1 of them early.

    Attributes:
        values: per early exit its distinct scores, ascending.
        ranks: per early exit ``(N,)``, the position of each sample's score among them.
        right: ``(E, N)`` 1 where the exit's answer is right, else 0.
        costs: of the E stages and heads.
    """

    values: tuple[FloatArray, ...]
    ranks: tuple[IntArray, ...]
    right: CostArray
    costs: Costs

    @classmethod
    def of(cls, scores: FloatArray, right: BoolArray, costs: Costs) -> "Problem":
        """Return the problem of ``scores (N, E-1)`` and ``right (N, E)``."""
        distinct = [np.unique(column, return_inverse=True) for column in scores.T]
        return cls(
            tuple(values for values, _ in distinct),
            tuple(ranks for _, ranks in distinct),
            np.ascontiguousarray(right.T, dtype=np.float64),
            costs,
        )

    @property
    def off(self) -> IntArray:
        """``(E-1,)`` the cut that switches each exit off."""
        return np.array([len(values) for values in self.values], dtype=np.int64)

    def thresholds(self, cuts: IntArray) -> CostArray:
        """Return for ``cuts (M, E-1)`` thresholds halfway between scores; 1 for off."""
        thresholds = np.ones(cuts.shape)
        for column, values in enumerate(self.values):
            edges = np.append(0.0, values)
            halfway = np.append((edges[:-1] + edges[1:]) / 2, 1.0)
            thresholds[:, column] = halfway[cuts[:, column]]
        return thresholds


@dataclass(frozen=True, eq=False)
class Points:
    """M policies: ``cuts (M, E-1)``, right answers ``right (M,)``, mean cost ``cost (M,)``."""

    cuts: IntArray
    right: IntArray
    cost: CostArray

    def __len__(self) -> int:
        return len(self.cost)

    def __getitem__(self, index: NDArray[np.generic]) -> "Points":
        return Points(self.cuts[index], self.right[index], self.cost[index])

    def beaten_by(self, right: CostArray, cost: CostArray) -> IntArray:
        """Return the indices of other points that these, which are `undominated`, do not dominate.

        They have more right answers than every point here that costs no more.
        """
        place = np.searchsorted(self.cost, cost, "right")
        return np.flatnonzero(right > np.append(-1, self.right)[place])


def joined(parts: Sequence[Points]) -> Points:
    """Return all points of some, in their order."""
    return Points(
        np.concatenate([part.cuts for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.cost for part in parts]),
    )


def undominated(*parts: Points) -> Points:
    """Return, by rising cost, the points that have more right answers than all cheaper ones."""
    points = joined(parts)
    return points[rising(points.right, points.cost.round(_DECIMALS))]


def rising(gain: Numbers, cost: CostArray, slack: float = 0.0) -> IntArray:
    """Return, by rising cost, the indices of gains above those of all cheaper ones, less slack."""
    order = np.lexsort((-gain, cost))
    best_so_far = np.maximum.accumulate(np.append(-1, gain[order]))[:-1]
    chosen: IntArray = order[gain[order] > best_so_far - slack]
    return chosen


def search(problem: Problem) -> Points:
    """Return the accuracy–cost front of ``problem``, by rising cost.

    The search starts at the plain network. Each round searches the lines through new points,
    spread along the front: one exit's cut takes every value, the others stay. The result is a
    local optimum; docs/results.md compares it with an exhaustive grid.
    """
    costs = problem.costs
    points = Points(
        problem.off[None],
        problem.right[-1:].sum(axis=1).astype(np.int64),
        costs.stages.sum(keepdims=True) + costs.heads[-1],
    )
    searched: set[bytes] = set()
    at_once = max(_AT_ONCE // problem.right.shape[1], 1)
    for _ in range(ROUNDS if problem.values else 0):
        new = [cuts for cuts in points.cuts if cuts.tobytes() not in searched]
        if not new:
            break
        spread = np.linspace(0, len(new) - 1, min(LINES, len(new))).astype(int)
        lines = np.array([new[place] for place in spread])
        searched.update(cuts.tobytes() for cuts in lines)
        found = [
            search_lines(problem, lines[first : first + at_once], points)
            for first in range(0, len(lines), at_once)
        ]
        points = undominated(points, *found)
    return points


def search_lines(problem: Problem, cuts: IntArray, front: Points) -> Points:
    """Return the points with any cut at one exit and the others as in a row of ``cuts (L, E-1)``.

    Row by row, and exit by exit. Points that ``front`` dominates are left out.
    """
    (lines, early), count = cuts.shape, problem.right.shape[1]
    stages, heads = problem.costs.stages, problem.costs.heads
    on = np.column_stack([cuts < problem.off, np.ones(lines, bool)])
    prices = stages + heads * on  # (L, E)
    stays = [problem.ranks[j] < cuts[:, j, None] for j in range(early)]  # (L, N) each
    # For each sample that arrives at an exit: whether its answer will be right, and at what cost.
    right_ahead = [np.broadcast_to(problem.right[-1], (lines, count))]
    cost_ahead = [np.broadcast_to(prices[:, -1:], (lines, count))]
    for j in reversed(range(1, early)):
        right_ahead.append(np.where(stays[j], right_ahead[-1], problem.right[j]))
        cost_ahead.append(prices[:, j, None] + stays[j] * cost_ahead[-1])
    inside = np.ones((lines, count), bool)
    right_before, cost_before = np.zeros(lines), np.zeros(lines)
    rows, found = [], []
    for j in range(early):
        here, values = problem.right[j], problem.values[j]
        places = problem.ranks[j] + len(values) * np.arange(lines)[:, None]
        right, cost = np.zeros((2, lines, len(values) + 1))
        for sums, ahead in ((right, right_ahead[-1 - j] - here), (cost, cost_ahead[-1 - j])):
            weights = np.where(inside, ahead, 0.0)
            of_each = np.bincount(places.ravel(), weights.ravel(), lines * len(values))
            np.cumsum(of_each.reshape(lines, -1), axis=1, out=sums[:, 1:])
        arrive = np.count_nonzero(inside, axis=1)
        right += (right_before + inside @ here)[:, None]
        cost += (cost_before + arrive * (stages[j] + heads[j]))[:, None]
        cost[:, -1] -= arrive * heads[j]
        cost /= count
        if values[0] == 0:
            right[:, 0] = -1  # no threshold in [0, 1] lies below a score of 0
        kept = front.beaten_by(right.ravel(), cost.ravel())
        row, cut = np.divmod(kept, len(values) + 1)
        line = cuts[row]
        line[:, j] = cut
        rows.append(row)
        found.append(Points(line, right.ravel()[kept].astype(np.int64), cost.ravel()[kept]))
        staying = inside & stays[j]
        right_before += (inside & ~staying) @ here
        cost_before += arrive * prices[:, j]
        inside = staying
    return joined(found)[np.argsort(np.concatenate(rows), kind="stable")]
