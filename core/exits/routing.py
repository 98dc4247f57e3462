"""Who leaves where: scores and thresholds to exits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.table import BoolArray, CostArray, ExitTable, FloatArray, IntArray
from core.foundation.errors import UserError


@dataclass(frozen=True, eq=False)
class Decision:
    """For each of N samples the ``exits`` it leaves at, its ``answers`` and its ``costs``.

    Costs are in units of the plain network; each array is ``(N,)``.
    """

    exits: IntArray
    answers: IntArray
    costs: CostArray


def route(
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


def decide(table: ExitTable, policy: Policy) -> Decision:
    """Return who leaves where on ``table`` under ``policy``, with what answer and at what cost.

    Raises:
        UserError: the policy has another number of exits, or a criterion the table cannot give.
    """
    exits = route(policy.scores(table), policy.thresholds, policy.enabled)
    said = answers(table, policy)[np.arange(len(table)), exits]
    return Decision(exits, said, table.relative_costs(policy.enabled)[exits])


def answers(table: ExitTable, policy: Policy) -> IntArray:
    """Return what each exit answers ``(N, E)``.

    The likeliest class; at the final exit, where the criterion rules classes out on the way (class
    exclusion), the likeliest of those that the last enabled early exit left alive.
    """
    # A temperature never changes the answer, so it is read from the table as it came.
    still = alive(table, policy)
    if still is None:
        return table.answers
    said = table.answers.copy()
    said[:, -1] = np.where(still[:, -1], table.probabilities[:, -1], -1).argmax(axis=1)
    return said


def alive(table: ExitTable, policy: Policy) -> BoolArray | None:
    """Return which classes are still possible after each early exit, ``(N, E-1, K)``.

    An exit that is off rules nothing out. None where the criterion never does, or no exit is on.
    """
    rule = CRITERIA[policy.criterion].ruled_out
    asked = np.flatnonzero(policy.enabled)
    if rule is None or not len(asked):
        return None
    known = policy.heated(table).asked(asked)
    still = np.ones((len(table), table.num_exits - 1, table.num_classes), np.bool_)
    for place, exit_index in enumerate(asked):
        left = rule(known, place) <= np.float64(policy.thresholds[exit_index])
        still[:, exit_index:] = left[:, None]
    return still


def window_at_end(table: ExitTable, policy: Policy) -> FloatArray | None:
    """Return between which thresholds of the last enabled exit the final answer is right.

    ``(N, 2)``: right when low <= threshold < high, as the label is still alive then and every
    class that the final exit prefers to it is not; None where no classes are ever ruled out.

    Args:
        table: with the final exit.
        policy: its thresholds do not matter.
    """
    rule = CRITERIA[policy.criterion].ruled_out
    asked = np.flatnonzero(policy.enabled)
    if rule is None or not len(asked):
        return None
    out = rule(policy.heated(table).asked(asked), len(asked) - 1)
    rows, labels = np.arange(len(table)), table.labels
    final = table.probabilities[:, -1]
    ours = final[rows, labels][:, None]
    earlier = np.arange(table.num_classes) < labels[:, None]
    preferred = (final > ours) | ((final == ours) & earlier)
    high = np.where(preferred, out, np.float32(np.inf)).min(axis=1, initial=np.inf)
    low = np.where(labels >= 0, out[rows, labels], np.float32(np.inf))
    return np.stack([low, high], axis=1).astype(np.float32)
