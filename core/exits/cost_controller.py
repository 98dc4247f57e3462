"""Thresholds that hold the compute under drift: running quantiles of each exit's score.

Fixed thresholds let other shares of the images leave when the images change, so the cost drifts.
A controller keeps the recent scores of the images that reached each exit, and sets the threshold
at the quantile that lets the wanted share leave. It needs no labels, and knows nothing of answers:
it holds the cost, not the accuracy.

Only the order of scores matters, so a drift that raises or lowers all scores of an exit alike
changes nothing once the old scores are forgotten. Equal scores cannot be told apart: where many
images have the same one, the cost can be off by as many.
"""

from dataclasses import dataclass, replace

import numpy as np

from core.exits.policy import Policy
from core.exits.routing import route
from core.exits.table import BoolArray, CostArray, ExitTable, FloatArray, IntArray
from core.foundation.errors import UserError

HALF_LIFE = 100
_FADED = 2.0**-10  # of a score's first weight: then it is dropped
_FEWEST = 100  # scores of an exit that are kept in any case


@dataclass(frozen=True, eq=False)
class HeldCost:
    """A cost to hold: what a policy's exits did on calibration images.

    Attributes:
        policy: where the thresholds start.
        relative_cost: of the policy on the calibration images; the one that is held.
        leave_rates: ``(E-1,)`` share of the images that reach an early exit that leaves there.
        scores: for each early exit, the scores of the calibration images that reach it.
        half_life: number of images after which a score counts half.
    """

    policy: Policy
    relative_cost: float
    leave_rates: tuple[float, ...]
    scores: tuple[FloatArray, ...]
    half_life: int

    @classmethod
    def of(cls, calibration: ExitTable, policy: Policy, half_life: int = HALF_LIFE) -> "HeldCost":
        """Return the cost of a policy on a calibration table, to be held.

        Args:
            calibration: needs no labels.
            policy: its criterion, temperatures and switches stay as they are.
            half_life: at least 1. A longer one is steadier, a shorter one follows sooner.

        Raises:
            UserError: an empty table, a half-life below 1, or as `core.exits.routing.route`.
        """
        if not len(calibration):
            raise UserError(
                "expected a `calibration` table with samples to take the exits' shares from, but "
                "it is empty."
            )
        if half_life < 1:
            raise UserError(f"expected `half_life` to be at least 1, but got {half_life}.")
        routing = route(calibration, policy)
        reached = [routing.exits >= index for index in range(calibration.num_exits - 1)]
        return cls(
            policy=policy,
            relative_cost=float(routing.costs.mean()),
            leave_rates=tuple(
                float((routing.exits[here] == index).mean()) if here.any() else 0.0
                for index, here in enumerate(reached)
            ),
            scores=tuple(routing.early_scores[here, index] for index, here in enumerate(reached)),
            half_life=half_life,
        )

    def start(self) -> "CostController":
        """Return the controller of a new stream of images."""
        return CostController(self)


class CostController:
    """Thresholds that follow one stream of images; not to be shared between streams.

    They start with the scores of the calibration images, as if the stream had been like these so
    far, and change after every batch.
    """

    def __init__(self, held: HeldCost) -> None:
        self.held = held
        decay = 0.5 ** (1 / held.half_life)
        past = 1 / (1 - decay)  # weight of a stream without beginning
        # An exit that only a share of the images reaches has that share of the weight.
        reach = np.cumprod([1.0, *(1 - rate for rate in held.leave_rates)])
        self._decay = decay
        self._recent = [
            _Recent(scores, np.full(len(scores), past * share / max(len(scores), 1)))
            for scores, share in zip(held.scores, reach, strict=False)
        ]
        self._policy = held.policy

    @property
    def policy(self) -> Policy:
        """The policy for the next batch."""
        return self._policy

    def observe(self, scores: FloatArray, exits: IntArray) -> None:
        """Take note of a batch, in the order of the stream, and set the thresholds anew.

        Args:
            scores: ``(B, E-1)``; only those of exits that a sample reached are read.
            exits: ``(B,)`` the exit at which each sample left.
        """
        weights = self._decay ** np.arange(len(exits) - 1, -1, -1)
        thresholds = list(self._policy.thresholds)
        for index, rate in enumerate(self.held.leave_rates):
            if not self._policy.enabled[index]:
                continue
            here = exits >= index
            recent = self._recent[index].after(
                scores[here, index], weights[here], self._decay ** len(exits)
            )
            self._recent[index] = recent
            thresholds[index] = recent.threshold(rate, thresholds[index])
        self._policy = replace(self._policy, thresholds=tuple(thresholds))


@dataclass(frozen=True, eq=False)
class _Recent:
    """Scores of an exit, the newest last, and how much each still counts."""

    scores: FloatArray
    weights: CostArray

    def after(self, scores: FloatArray, weights: CostArray, faded: float) -> "_Recent":
        joined = np.concatenate([self.weights * faded, weights])
        kept = joined > _FADED
        kept[-_FEWEST:] = True
        return _Recent(np.concatenate([self.scores, scores])[kept], joined[kept])

    def threshold(self, leave_rate: float, otherwise: float) -> float:
        """Return the threshold that a share nearest to ``leave_rate`` exceeds."""
        if not len(self.scores):
            return otherwise
        order = np.argsort(self.scores, kind="stable")
        scores, weights = self.scores[order], self.weights[order]
        exceeding = weights.sum() - np.cumsum(weights)
        last: BoolArray = np.append(scores[1:] != scores[:-1], True)  # of equal scores
        candidates = np.append(0.0, scores[last])
        shares = np.append(weights[scores > 0].sum(), exceeding[last]) / weights.sum()
        return float(candidates[np.abs(shares - leave_rate).argmin()])


@dataclass(frozen=True, eq=False)
class Stream:
    """A table of N samples taken as a stream of M batches; made by `route_stream`.

    Attributes:
        table: in the order of the stream.
        answers: ``(N,)`` the answer of the exit at which each sample leaves.
        exits: ``(N,)`` that exit.
        costs: ``(N,)`` in units of the plain network.
        thresholds: ``(M, E-1)`` those of each batch.
    """

    table: ExitTable
    answers: IntArray
    exits: IntArray
    costs: CostArray
    thresholds: CostArray

    @property
    def right(self) -> BoolArray:
        """``(N,)`` whether the answer is the label; False where the label is unknown."""
        right: BoolArray = self.answers == self.table.labels
        return right

    @property
    def accuracy(self) -> float:
        """Accuracy over the labelled samples; NaN without any."""
        labelled = np.count_nonzero(self.table.labelled)
        return float(self.right.sum() / labelled) if labelled else float("nan")

    @property
    def relative_cost(self) -> float:
        """Mean cost per sample."""
        return float(self.costs.mean())

    @property
    def exit_share(self) -> tuple[float, ...]:
        """``(E,)`` share of the samples that leave at each exit."""
        counts = np.bincount(self.exits, minlength=self.table.num_exits)
        return tuple((counts / len(self.exits)).tolist())


def route_stream(table: ExitTable, controller: CostController, batch_size: int) -> Stream:
    """Return what a controller makes of a table's samples, taken in order.

    Equal to the real run with batches of the same size, see `core.exits.inference`.

    Args:
        table: with at least one sample.
        controller: goes on from where it stands.
        batch_size: at least 1; thresholds change after so many samples.

    Raises:
        UserError: no samples, or as `core.exits.routing.route`.
    """
    if not len(table):
        raise UserError("expected a `table` with samples to stream, but it is empty.")
    parts, thresholds = [], []
    for first in range(0, len(table), batch_size):
        batch = table.select(np.arange(first, min(first + batch_size, len(table))))
        thresholds.append(controller.policy.thresholds)
        parts.append(route(batch, controller.policy))
        controller.observe(parts[-1].early_scores, parts[-1].exits)
    return Stream(
        table=table,
        answers=np.concatenate([part.answers for part in parts]),
        exits=np.concatenate([part.exits for part in parts]),
        costs=np.concatenate([part.costs for part in parts]),
        thresholds=np.array(thresholds),
    )
