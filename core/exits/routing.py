"""Routing: the exit at which each sample leaves under a policy, its answer and its cost."""

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
        policy: applied to the table.
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
        """``(N, E)`` the answer of each exit: its likeliest class.

        At the final exit, where the criterion rules classes out (class exclusion), the likeliest
        of the classes that the last enabled early exit left possible.
        """
        # Temperatures never change an answer, so the table is read without them.
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

        The last column, which no policy needs, is max probability where the criterion is learned.
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

        An exit that is off rules no class out. None where the criterion never does, or all exits
        are off.
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
        """Return whether a sample was rescued or ruined by leaving early; None: neither."""
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
    """Return the routing of the samples of ``table`` under ``policy``.

    Raises:
        UserError: a policy for another number of exits, or a criterion that the table cannot give.
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
    """Return the thresholds of the last enabled exit at which the final answer is right.

    ``(N, 2)``: right when low <= threshold < high, as then the label is still possible and every
    class that the final exit prefers is ruled out. None where no classes are ever ruled out.

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
    of_label = final[rows, labels][:, None]
    earlier = np.arange(table.num_classes) < labels[:, None]
    preferred = (final > of_label) | ((final == of_label) & earlier)
    high = np.where(preferred, out, np.float32(np.inf)).min(axis=1, initial=np.inf)
    low = np.where(labels >= 0, out[rows, labels], np.float32(np.inf))
    return np.stack([low, high], axis=1).astype(np.float32)


def mean(values: NDArray[np.generic]) -> float:
    """Return the mean; NaN of an empty array."""
    return float(values.mean()) if values.size else math.nan
