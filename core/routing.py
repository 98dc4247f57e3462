"""Who leaves where: scores and thresholds to exits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.criteria import CRITERIA
from core.errors import UserError
from core.policy import Policy
from core.table import BoolArray, CostArray, ExitTable, IntArray


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
    scores = CRITERIA[policy.criterion].scores(policy.heated(table))
    exits = route(scores, policy.thresholds, policy.enabled)
    # A temperature never changes the answer, so it is read from the table as it came.
    answers = table.answers[np.arange(len(table)), exits]
    return Decision(exits, answers, table.relative_costs(policy.enabled)[exits])
