"""Routing: which sample leaves at which exit under a policy, and what follows from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.table import BoolArray, CostArray, ExitTable, FloatArray, IntArray
from core.foundation.errors import UserError

Flip = Literal["rescued", "ruined"]


@dataclass(frozen=True, eq=False)
class Routing:
    """A policy applied to a table of N samples and E exits; made by `route`.

    Attributes:
        table: the outputs of the exits.
        policy: decides who leaves where.
        early_scores: ``(N, E-1)`` the scores that the thresholds are compared with.
        exits: ``(N,)`` the exit at which each sample leaves.
    """

    table: ExitTable
    policy: Policy
    early_scores: FloatArray
    exits: IntArray

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def exit_answers(self) -> IntArray:
        """``(N, E)`` what each exit answers.

        The likeliest class; at the final exit, where the criterion rules classes out on the way
        (class exclusion), the likeliest of those that the last enabled early exit left possible.
        """
        # A temperature never changes the answer, so it is read from the table as it came.
        possible = self.possible_classes
        if possible is None:
            return self.table.answers
        answers = self.table.answers.copy()
        final = np.where(possible[:, -1], self.table.probabilities[:, -1], -1)
        answers[:, -1] = final.argmax(axis=1)
        return answers

    @cached_property
    def answers(self) -> IntArray:
        """``(N,)`` the answer of the exit at which each sample leaves."""
        answers: IntArray = self.exit_answers[np.arange(len(self)), self.exits]
        return answers

    @cached_property
    def costs(self) -> CostArray:
        """``(N,)`` in units of the plain network."""
        return self.table.costs.at_exits(self.policy.enabled)[self.exits]

    @cached_property
    def right(self) -> BoolArray:
        """``(N,)`` whether the answer is the label; False where the label is unknown."""
        right: BoolArray = self.answers == self.table.labels
        return right

    @cached_property
    def agrees(self) -> BoolArray:
        """``(N,)`` whether the last exit gives the same answer."""
        agrees: BoolArray = self.answers == self.table.answers[:, -1]
        return agrees

    @cached_property
    def rescued(self) -> BoolArray:
        """``(N,)`` whether the answer is right and the last exit's wrong."""
        return self.right & ~self.table.right[:, -1]

    @cached_property
    def ruined(self) -> BoolArray:
        """``(N,)`` whether the answer is wrong and the last exit's right."""
        return ~self.right & self.table.right[:, -1]

    @cached_property
    def exit_scores(self) -> FloatArray:
        """``(N, E)`` the scores of all exits, in [0, 1].

        No policy needs the last column. Where the criterion is learned it is max probability.
        """
        criterion = CRITERIA[self.policy.criterion]
        final = CRITERIA["max_probability"] if criterion.needs_confidence else criterion
        used = [*np.flatnonzero(self.policy.enabled), self.table.num_exits - 1]
        table = self.policy.apply_temperatures(self.table).select_exits(used)
        last = final.score(table, table.num_exits - 1)
        return np.column_stack([self.early_scores, last]).astype(np.float32)

    @cached_property
    def scores(self) -> FloatArray:
        """``(N,)`` the score of the exit at which each sample leaves, see `exit_scores`."""
        scores: FloatArray = self.exit_scores[np.arange(len(self)), self.exits]
        return scores

    @cached_property
    def probabilities(self) -> FloatArray:
        """``(N,)`` the probability of the answer at the exit that gives it, in [0, 1]."""
        rows = np.arange(len(self))
        at_exit = self.table.probabilities[rows, self.exits]  # (N, K or k)
        if self.table.top_classes is None:
            return at_exit[rows, self.answers]
        answered = self.table.top_classes[rows, self.exits] == self.answers[:, None]
        probabilities: FloatArray = np.where(answered, at_exit, np.float32(0)).sum(axis=1)
        return probabilities

    @cached_property
    def possible_classes(self) -> BoolArray | None:
        """``(N, E-1, K)`` which classes are still possible after each early exit.

        An exit that is off rules nothing out. None where the criterion never does, or no exit is
        on.
        """
        rule = CRITERIA[self.policy.criterion].ruled_out
        enabled = np.flatnonzero(self.policy.enabled)
        if rule is None or not len(enabled):
            return None
        table = self.policy.apply_temperatures(self.table).select_exits(enabled)
        possible = np.ones((len(self), self.table.num_exits - 1, self.table.num_classes), np.bool_)
        for place, exit_index in enumerate(enabled):
            left = rule(table, place) <= np.float64(self.policy.thresholds[exit_index])
            possible[:, exit_index:] = left[:, None]
        return possible

    def flip(self, position: int) -> Flip | None:
        """Return how leaving early changed whether one sample is answered rightly, if it did."""
        if self.rescued[position]:
            return "rescued"
        return "ruined" if self.ruined[position] else None

    def accuracy(self, where: NDArray[Any] | None = None) -> float:
        """Return the accuracy of the answers over the labelled samples; NaN where there is none.

        Args:
            where: positions, or a mask ``(N,)``; None: all samples.
        """
        labelled, right = self.table.labelled, self.right
        if where is not None:
            labelled, right = labelled[where], right[where]
        return mean(right[labelled])

    def agreement(self, where: NDArray[Any] | None = None) -> float:
        """Return the share of samples whose answer is the last exit's; NaN where there is none.

        Args:
            where: as in `accuracy`.
        """
        return mean(self.agrees if where is None else self.agrees[where])


def route(table: ExitTable, policy: Policy) -> Routing:
    """Return which samples of ``table`` leave where under ``policy``.

    Raises:
        UserError: the policy has another number of exits, or a criterion the table cannot give.
    """
    scores = policy.scores(table)
    return Routing(table, policy, scores, exits_taken(scores, policy.thresholds, policy.enabled))


def exits_taken(
    scores: NDArray[np.floating],
    thresholds: Sequence[float] | CostArray,
    enabled: Sequence[bool] | BoolArray,
) -> IntArray:
    """Return the exit ``(N,)`` of each sample: the first enabled one with score > threshold.

    Samples that leave at no early exit get E-1, the final one. Thresholds are compared in double
    precision.

    Args:
        scores: ``(N, E-1)`` in [0, 1].
        thresholds: E-1 values in [0, 1].
        enabled: E-1 flags.

    Raises:
        UserError: the lengths disagree.
    """
    count, early = scores.shape
    if len(thresholds) != early or len(enabled) != early:
        raise UserError(
            f"expected {early} thresholds and flags, one per early exit, "
            f"but got {len(thresholds)} and {len(enabled)}."
        )
    exits = np.full(count, early, np.int64)
    for exit_index in reversed(range(early)):
        if enabled[exit_index]:
            leaves = scores[:, exit_index] > np.float64(thresholds[exit_index])
            exits[leaves] = exit_index
    return exits


def right_at_end(table: ExitTable, policy: Policy) -> FloatArray | None:
    """Return for which thresholds of the last enabled exit the final answer is right.

    ``(N, 2)``: right when low <= threshold < high, as the label is still possible then and every
    class that the final exit prefers to it is not; None where no classes are ever ruled out.

    Args:
        table: with the final exit.
        policy: its thresholds do not matter.
    """
    rule = CRITERIA[policy.criterion].ruled_out
    enabled = np.flatnonzero(policy.enabled)
    if rule is None or not len(enabled):
        return None
    out = rule(policy.apply_temperatures(table).select_exits(enabled), len(enabled) - 1)
    rows, labels = np.arange(len(table)), table.labels
    final = table.probabilities[:, -1]
    ours = final[rows, labels][:, None]
    earlier = np.arange(table.num_classes) < labels[:, None]
    preferred = (final > ours) | ((final == ours) & earlier)
    high = np.where(preferred, out, np.float32(np.inf)).min(axis=1, initial=np.inf)
    low = np.where(labels >= 0, out[rows, labels], np.float32(np.inf))
    return np.stack([low, high], axis=1).astype(np.float32)


def mean(values: NDArray[np.generic]) -> float:
    """Return the mean; NaN of nothing."""
    return float(values.mean()) if values.size else math.nan
