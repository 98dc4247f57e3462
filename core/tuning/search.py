"""Line search for the accuracy–cost front: on a line, one exit's threshold takes every value.

A threshold is represented by a *cut*: the number of distinct scores of its exit that stay inside.
At the highest cut every sample stays; switching the exit off has the same effect at less cost, so
that cut means off.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.exits.table import BoolArray, CostArray, FloatArray, IntArray
from core.foundation.costs import Costs

ROUNDS = 12
LINES = 100  # points of the front whose lines are searched in one round

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


def undominated(*parts: Points) -> Points:
    """Return, by rising cost, the points that have more right answers than all cheaper ones."""
    points = Points(
        np.concatenate([part.cuts for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.cost for part in parts]),
    )
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
    for _ in range(ROUNDS):
        new = [cuts for cuts in points.cuts if cuts.tobytes() not in searched]
        if not new:
            break
        candidates = [points]
        for place in np.linspace(0, len(new) - 1, min(LINES, len(new))).astype(int):
            searched.add(new[place].tobytes())
            candidates.extend(search_lines(problem, new[place], points))
        points = undominated(*candidates)
    return points


def search_lines(problem: Problem, cuts: IntArray, front: Points) -> Iterator[Points]:
    """Yield, exit by exit, the points with any cut there and the others as in ``cuts``.

    Points that ``front`` dominates are left out.
    """
    count, early = problem.right.shape[1], len(cuts)
    stages, heads = problem.costs.stages, problem.costs.heads
    prices = stages + heads * np.append(cuts < problem.off, True)
    stays = [ranks < cut for ranks, cut in zip(problem.ranks, cuts, strict=True)]
    # For each sample that arrives at an exit: whether its answer will be right, and at what cost.
    right_ahead = [problem.right[-1]]
    cost_ahead = [np.full(count, prices[-1])]
    for j in reversed(range(1, early)):
        right_ahead.append(np.where(stays[j], right_ahead[-1], problem.right[j]))
        cost_ahead.append(prices[j] + stays[j] * cost_ahead[-1])
    inside = np.arange(count)
    right_before = cost_before = 0.0
    for j in range(early):
        ranks, values = problem.ranks[j][inside], problem.values[j]
        here = problem.right[j][inside]
        trade, further = right_ahead[-1 - j][inside] - here, cost_ahead[-1 - j][inside]
        right, cost = (
            np.append(0.0, np.bincount(ranks, weights, minlength=len(values)).cumsum())
            for weights in (trade, further)
        )
        right += right_before + here.sum()
        cost += cost_before + len(inside) * (stages[j] + heads[j])
        cost[-1] -= len(inside) * heads[j]
        cost /= count
        if values[0] == 0:
            right[0] = -1  # no threshold in [0, 1] lies below a score of 0
        kept = front.beaten_by(right, cost)
        line = np.repeat(cuts[None], len(kept), axis=0)
        line[:, j] = kept
        yield Points(line, right[kept].astype(np.int64), cost[kept])
        staying = stays[j][inside]
        right_before += here[~staying].sum()
        cost_before += len(inside) * prices[j]
        inside = inside[staying]
