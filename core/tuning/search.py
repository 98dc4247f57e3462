"""The search behind the front: grids by cumulative histograms, lines over every score.

A threshold is a *cut*: how many of the distinct scores of its exit stay inside. At the highest
cut everybody stays, which an exit that is off does at less cost, so that cut means off.

Everything rests on one telescoping sum. Let S_j be the samples that leave at none of the exits
0…j. Going on from exit j to the next one trades right_j for right_{j+1} and pays the next stage
and, where it is on, the next head; so for all N samples together

    right = Σ right_0 + Σ_j Σ_{n ∈ S_j} (right_{j+1} − right_j)
    cost  = N price_0 + Σ_j |S_j| price_{j+1}

and the sums over S_j, for all cuts at once, are cumulative histograms over the scores' ranks at
exits 0…j.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.exits.table import BoolArray, CostArray, FloatArray, IntArray

GRID = 50  # levels per exit that are searched exhaustively ...
MOST_EXITS_IN_GRID = 4  # ... up to this many early exits
CELLS = 6_300_000  # size of the exhaustive search among cuts that proved good
LEVELS = 400  # and at most so many of them per exit
LINES = 100  # points of the front whose lines are searched in one round

_BINS = 1 << 14  # resolution in cost of the quick test for being dominated
_DECIMALS = 12  # costs that differ by less are equal: the difference is rounding

Numbers = NDArray[np.integer] | NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Problem:
    """N samples at E exits, E-1 of them early.

    Attributes:
        values: per early exit its distinct scores, ascending.
        ranks: per early exit ``(N,)``, the position of each sample's score among them.
        right: ``(E, N)`` 1 where the exit's answer is right, else 0.
        stages: ``(E,)`` cost of each stage.
        heads: ``(E,)`` cost of each head.
    """

    values: tuple[FloatArray, ...]
    ranks: tuple[IntArray, ...]
    right: CostArray
    stages: CostArray
    heads: CostArray

    @classmethod
    def of(
        cls, scores: FloatArray, right: BoolArray, stages: CostArray, heads: CostArray
    ) -> "Problem":
        """Return the problem of ``scores (N, E-1)`` and ``right (N, E)``."""
        distinct = [np.unique(column, return_inverse=True) for column in scores.T]
        return cls(
            tuple(values for values, _ in distinct),
            tuple(ranks for _, ranks in distinct),
            np.ascontiguousarray(right.T, dtype=np.float64),
            stages,
            heads,
        )

    @property
    def samples(self) -> int:
        """N."""
        return int(self.right.shape[1])

    @property
    def off(self) -> IntArray:
        """``(E-1,)`` the cut that switches each exit off."""
        return np.array([len(values) for values in self.values], dtype=np.int64)

    def cuts(self, thresholds: Sequence[CostArray]) -> IntArray:
        """Return the cuts ``(E-1, M)`` that M thresholds for each early exit make."""
        pairs = zip(self.values, thresholds, strict=True)
        return np.stack([np.searchsorted(values, levels, "right") for values, levels in pairs])

    def quantiles(self, steps: CostArray) -> list[CostArray]:
        """Return per early exit the quantiles of its scores at ``steps (M,)``."""
        pairs = zip(self.values, self.ranks, strict=True)
        return [np.quantile(values[ranks], steps).astype(np.float64) for values, ranks in pairs]

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
    """M choices: ``cuts (M, E-1)``, right answers ``right (M,)``, mean cost ``cost (M,)``."""

    cuts: IntArray
    right: IntArray
    cost: CostArray

    def __len__(self) -> int:
        return len(self.cost)

    def __getitem__(self, index: NDArray[np.generic]) -> "Points":
        return Points(self.cuts[index], self.right[index], self.cost[index])


def undominated(*parts: Points) -> Points:
    """Return, by rising cost, the points that have more right answers than all cheaper ones."""
    points = Points(
        np.concatenate([part.cuts for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.cost for part in parts]),
    )
    order = np.lexsort((-points.right, points.cost.round(_DECIMALS)))
    right = points.right[order]
    best_so_far = np.maximum.accumulate(np.append(-1, right))[:-1]
    return points[order[right > best_so_far]]


class Envelope:
    """The most right answers seen at less than a cost: a quick test for being dominated.

    It errs on one side: it may admit a dominated point, it never refuses another.
    """

    def __init__(self, highest_cost: float) -> None:
        self._scale = _BINS / highest_cost
        self._most = np.full(_BINS + 3, -1, np.int64)

    def add(self, right: NDArray[np.integer], cost: CostArray) -> None:
        """Take note of points that exist."""
        np.maximum.at(self._most, self._bin(cost) + 1, right)
        np.maximum.accumulate(self._most, out=self._most)

    def admits(self, right: Numbers, cost: CostArray) -> IntArray:
        """Return the positions of the points that may be undominated."""
        return np.flatnonzero(right > self._most[self._bin(cost)])

    def _bin(self, cost: CostArray) -> IntArray:
        return (cost * self._scale).astype(np.int64)


def search(problem: Problem) -> Points:
    """Return the accuracy–cost front of ``problem``, by rising cost.

    Up to four early exits it is at least as good everywhere as the exhaustive grids of 50 uniform
    and of 50 quantile thresholds per exit, from 0 to 1 or amid 50 equal parts; for more, as each
    such uniform threshold for all exits at once. Then better: along the front each exit's cut is
    moved over all its scores, and the cuts that proved good are combined exhaustively.
    """
    frontier = _Frontier(problem)
    early = len(problem.values)
    for _ in range(early):
        frontier.widen(LINES // 10)
    if early <= 1:
        return frontier.points  # the line through the plain network holds every policy
    for steps in (np.linspace(0, 1, GRID), (np.arange(GRID) + 0.5) / GRID):
        uniform = problem.cuts([steps] * early)
        if early <= MOST_EXITS_IN_GRID:
            frontier.combine(uniform)
            frontier.combine(problem.cuts(problem.quantiles(steps)))
        else:
            frontier.follow(uniform.T)
    frontier.widen(LINES)
    size = min(LEVELS, int(CELLS ** (1 / early)))
    if size >= 4:
        frontier.combine([_spread(cuts, size - 1) for cuts in frontier.points.cuts.T])
    for _ in range(2):
        frontier.widen(LINES)
    return frontier.points


class _Frontier:
    """The best points found so far, at first the plain network alone."""

    def __init__(self, problem: Problem) -> None:
        plain = problem.stages.sum() + problem.heads[-1]
        right = problem.right[-1:].sum(axis=1).astype(np.int64)
        self.points = Points(problem.off[None], right, np.array([plain]))
        self._problem = problem
        self._envelope = Envelope(float((problem.stages + problem.heads).sum()))
        self._followed: set[bytes] = set()

    def follow(self, starts: Iterable[IntArray]) -> None:
        """Search the lines through ``starts``."""
        found = [self.points]
        for cuts in starts:
            self._followed.add(cuts.tobytes())
            found.extend(search_lines(self._problem, cuts, self._envelope))
        self.points = undominated(*found)
        self._envelope.add(self.points.right, self.points.cost)

    def widen(self, most: int) -> None:
        """Search the lines through so many new points, spread along the front."""
        fresh = [cuts for cuts in self.points.cuts if cuts.tobytes() not in self._followed]
        spread = np.linspace(0, len(fresh) - 1, min(most, len(fresh))).astype(int)
        self.follow(fresh[i] for i in spread)

    def combine(self, cuts: Iterable[IntArray]) -> None:
        """Search all combinations of these cuts of each exit, and of leaving it off."""
        pairs = zip(cuts, self._problem.off, strict=True)
        levels = [np.unique(np.append(column, off)) for column, off in pairs]
        found = search_grid(self._problem, levels, self._envelope)
        self.points = undominated(self.points, *found)


def search_grid(
    problem: Problem, levels: Sequence[IntArray], envelope: Envelope
) -> Iterator[Points]:
    """Yield what the envelope admits of *all* combinations of the levels of two or more exits.

    Args:
        problem: what to search.
        levels: per early exit, ascending cuts, the last one off.
        envelope: what is known; it learns what is found.
    """
    count, early = problem.samples, len(levels)
    shape = tuple(len(cuts) for cuts in levels)
    firsts = [  # the first level at which each sample stays
        np.searchsorted(cuts, ranks, "right")
        for cuts, ranks in zip(levels, problem.ranks, strict=True)
    ]
    trades = np.diff(problem.right, axis=0).astype(np.int32)
    prices = [np.full(size, stage) for size, stage in zip(shape, problem.stages, strict=False)]
    for price, head in zip(prices, problem.heads, strict=False):
        price[:-1] += head

    # One slab per level of exit 0: histograms over the exits 1…j of the samples that stay there,
    # growing from slab to slab by the samples that no longer leave.
    cells = [np.zeros(count, np.int64)]
    for first, size in zip(firsts[1:], shape[1:], strict=True):
        cells.append(cells[-1] * size + first)
    staying = np.zeros(shape[1:], np.int32)
    traded = [np.zeros(shape[1 : 1 + exits], np.int32) for exits in range(early)]
    slabs = np.cumsum(np.bincount(firsts[0], minlength=shape[0]))[:-1]
    for slab, arrivals in enumerate(np.split(np.argsort(firsts[0], kind="stable"), slabs)):
        np.add.at(staying.reshape(-1), cells[-1][arrivals], 1)
        for histogram, cell, trade in zip(traded, cells, trades, strict=True):
            np.add.at(histogram.reshape(-1), cell[arrivals], trade[arrivals])
        stay = _cumulative(staying)  # |S_j| for all cuts
        right = np.int32(problem.right[0].sum()) + traded[0]
        cost = np.asarray(count * prices[0][slab])
        for j in range(1, early):
            stay_before = stay.reshape(*shape[1:j], -1)[..., -1]  # all later exits off
            right = right[..., None] + _cumulative(traded[j])
            cost = cost[..., None] + np.multiply.outer(stay_before, prices[j])
        cost = (cost + stay * (problem.stages[-1] + problem.heads[-1])).ravel() / count
        right = right.ravel()
        kept = envelope.admits(right, cost)
        if len(kept):
            envelope.add(right[kept], cost[kept])
            kept = kept[envelope.admits(right[kept], cost[kept])]
            cuts = [np.full(len(kept), levels[0][slab])]
            for column, cell in zip(levels[1:], np.unravel_index(kept, shape[1:]), strict=True):
                cuts.append(column[cell])
            yield Points(np.stack(cuts, axis=1), right[kept].astype(np.int64), cost[kept])


def search_lines(problem: Problem, cuts: IntArray, envelope: Envelope) -> Iterator[Points]:
    """Yield, exit by exit, what the envelope admits of all its cuts, the others as in ``cuts``."""
    count, early = problem.samples, len(cuts)
    on = np.append(cuts < problem.off, True)
    prices = problem.stages + problem.heads * on
    stays = [ranks < cut for ranks, cut in zip(problem.ranks, cuts, strict=True)]
    # What awaits each sample from an exit on: is its answer right, and at what further cost?
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
        cost += cost_before + len(inside) * (problem.stages[j] + problem.heads[j])
        cost[-1] -= len(inside) * problem.heads[j]
        if values[0] == 0:
            right[0] = -1  # no threshold in [0, 1] lies below a score of 0
        kept = envelope.admits(right, cost / count)
        line = np.repeat(cuts[None], len(kept), axis=0)
        line[:, j] = kept
        yield Points(line, right[kept].astype(np.int64), cost[kept] / count)
        staying = stays[j][inside]
        right_before += here[~staying].sum()
        cost_before += len(inside) * prices[j]
        inside = inside[staying]


def _cumulative(histogram: NDArray[np.int32]) -> NDArray[np.int32]:
    for axis in range(histogram.ndim):
        histogram = np.cumsum(histogram, axis=axis, dtype=np.int32)
    return histogram


def _spread(cuts: IntArray, size: int) -> IntArray:
    """Return at most ``size`` of the distinct cuts, evenly chosen."""
    distinct = np.unique(cuts)
    chosen = np.linspace(0, len(distinct) - 1, min(size, len(distinct))).astype(int)
    spread: IntArray = distinct[chosen]
    return spread
