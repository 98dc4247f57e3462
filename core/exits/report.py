"""Report of a policy on a table: accuracy, cost, exit shares, quality of the scores."""

from dataclasses import dataclass

import numpy as np

from core.exits.criteria import CRITERIA
from core.exits.metrics import auroc, calibration_error
from core.exits.policy import Policy
from core.exits.routing import Routing, mean, route
from core.exits.table import CostArray, ExitTable


@dataclass(frozen=True)
class Report:
    """The figures of one policy on one table. Undefined figures are NaN.

    Attributes:
        samples: N.
        accuracy: of the policy's answers, in [0, 1], over the labelled samples.
        relative_cost: mean cost per sample, in units of the plain network.
        exit_share: ``(E,)`` share of the samples that leave at each exit.
        accuracy_of_left: ``(E,)`` accuracy over the samples that leave there.
        per_exit_accuracy: ``(E,)`` accuracy if all samples left there.
        per_exit_agreement: ``(E,)`` share of the samples with the last exit's answer there.
        auroc: ``(E,)`` probability that a right answer scores higher than a wrong one, over all
            samples. The last exit has no learned confidence: there it is of max probability.
        calibration_error: ``(E,)`` expected calibration error of the answer's probability, 15 bins.
        rescued: samples answered rightly that the last exit gets wrong.
        ruined: samples answered wrongly that the last exit gets right.
    """

    samples: int
    accuracy: float
    relative_cost: float
    exit_share: tuple[float, ...]
    accuracy_of_left: tuple[float, ...]
    per_exit_accuracy: tuple[float, ...]
    per_exit_agreement: tuple[float, ...]
    auroc: tuple[float, ...]
    calibration_error: tuple[float, ...]
    rescued: int
    ruined: int

    @classmethod
    def of(cls, routing: Routing) -> "Report":
        """Return the figures of a routing."""
        table = routing.table
        calibrated = routing.policy.apply_temperatures(table)
        labelled, exits = table.labelled, range(table.num_exits)
        left_at = [routing.exits == exit_index for exit_index in exits]
        right = [table.right[labelled, exit_index] for exit_index in exits]
        largest = [
            CRITERIA["max_probability"].score(calibrated, index)[labelled] for index in exits
        ]
        return cls(
            samples=len(table),
            accuracy=routing.accuracy(),
            relative_cost=mean(routing.costs),
            exit_share=tuple(mean(left) for left in left_at),
            accuracy_of_left=tuple(routing.accuracy(left) for left in left_at),
            per_exit_accuracy=tuple(table.accuracy_per_exit.tolist()),
            per_exit_agreement=tuple(table.agreement_per_exit.tolist()),
            auroc=tuple(map(auroc, routing.exit_scores[labelled].T, right)),
            calibration_error=tuple(map(calibration_error, largest, right)),
            rescued=int(routing.rescued.sum()),
            ruined=int(routing.ruined.sum()),
        )


def evaluate(table: ExitTable, policy: Policy) -> Report:
    """Return what ``policy`` achieves on ``table``.

    Raises:
        UserError: as `core.exits.routing.route`.
    """
    return Report.of(route(table, policy))


def classes_left(table: ExitTable, policy: Policy) -> tuple[CostArray, CostArray] | None:
    """Return shares ``(E-1, K)`` of samples for which a class is possible after an early exit.

    Of the samples that reach the exit; NaN where none does. The second array ``(E-1,)`` is the
    mean number of classes left. None unless the criterion rules classes out.
    """
    routing = route(table, policy)
    possible = routing.possible_classes
    if possible is None:
        return None
    shares = np.full(possible.shape[1:], np.nan)
    for exit_index in range(table.num_exits - 1):
        here = possible[routing.exits >= exit_index, exit_index]
        if len(here):
            shares[exit_index] = here.mean(axis=0)
    return shares, shares.sum(axis=1)
