"""Under drift: what a fixed policy and a held cost do when the images of a stream change."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.exits.cost_controller import HeldCost, route_stream
from core.exits.intervals import difference_interval
from core.exits.routing import route
from core.exits.table import BoolArray, CostArray, ExitTable

BATCH_SIZE = 32
WINDOW = 100
"""Images whose mean cost is one point of a running cost."""

Verdict = Literal["kept", "broken", "open"]


@dataclass(frozen=True, eq=False)
class Drifted:
    """What a network makes of N images under a corruption, or of the clean ones.

    Attributes:
        table: the outputs of its exits.
        plain_right: ``(N,)`` whether the plain network is right on the same corrupted images; None
            where it was not run.
    """

    table: ExitTable
    plain_right: BoolArray | None

    @property
    def reference_right(self) -> BoolArray:
        """``(N,)`` whether the plain network is right; without one, the last exit."""
        return self.table.right[:, -1] if self.plain_right is None else self.plain_right


@dataclass(frozen=True)
class Outcome:
    """Figures of a policy on N images.

    Attributes:
        accuracy: in [0, 1].
        relative_cost: mean per image, in units of the plain network.
        difference: accuracy less that of the reference on the same images.
        difference_interval: its 95 % confidence interval, from the images on which the two differ.
    """

    accuracy: float
    relative_cost: float
    difference: float
    difference_interval: tuple[float, float]

    @classmethod
    def of(cls, right: BoolArray, costs: CostArray, reference: BoolArray) -> "Outcome":
        """Return the figures of answers ``(N,)``, their costs and the reference's answers."""
        losses, gains = int((reference & ~right).sum()), int((right & ~reference).sum())
        return cls(
            accuracy=float(right.mean()),
            relative_cost=float(costs.mean()),
            difference=(gains - losses) / len(right),
            difference_interval=difference_interval(losses, gains, len(right)),
        )

    def verdict(self, max_drop: float) -> Verdict:
        """Return whether the images tell that at most ``max_drop`` is lost, or that more is."""
        low, high = self.difference_interval
        if low >= -max_drop:
            return "kept"
        return "broken" if high < -max_drop else "open"


@dataclass(frozen=True, eq=False)
class UnderDrift:
    """A stream of N clean images, and then the same ones corrupted; made by `under_drift`.

    Attributes:
        samples: N.
        reference_accuracy: on the corrupted images.
        against_plain: whether the reference is the plain network; else it is the last exit.
        fixed: outcome of the fixed policy on the corrupted images.
        held: outcome of the controller there, from the first corrupted image on.
        settled_cost: of the controller over the second half of the corrupted images.
        fixed_running_cost: ``(2N,)`` mean cost of the last `WINDOW` images of the whole stream; NaN
            for the first, which are fewer.
        held_running_cost: likewise.
    """

    samples: int
    reference_accuracy: float
    against_plain: bool
    fixed: Outcome
    held: Outcome
    settled_cost: float
    fixed_running_cost: CostArray
    held_running_cost: CostArray


def under_drift(clean: Drifted, drifted: Drifted, cost: HeldCost) -> UnderDrift:
    """Return what becomes of a policy when a stream of images changes, and of its held cost.

    Args:
        clean: N labelled images.
        drifted: the same ones, corrupted.
        cost: to be held; its policy is the fixed one.

    Raises:
        UserError: no images, or as `core.exits.routing.route`.
    """
    controller = cost.start()
    parts = [clean.table, drifted.table]
    fixed = [route(table, cost.policy) for table in parts]
    held = [route_stream(table, controller, BATCH_SIZE) for table in parts]
    reference = drifted.reference_right
    return UnderDrift(
        samples=len(drifted.table),
        reference_accuracy=float(reference.mean()),
        against_plain=drifted.plain_right is not None,
        fixed=Outcome.of(fixed[1].right, fixed[1].costs, reference),
        held=Outcome.of(held[1].right, held[1].costs, reference),
        settled_cost=float(held[1].costs[len(reference) // 2 :].mean()),
        fixed_running_cost=_running(np.concatenate([part.costs for part in fixed])),
        held_running_cost=_running(np.concatenate([part.costs for part in held])),
    )


def _running(costs: CostArray) -> CostArray:
    total = np.append(0.0, np.cumsum(costs))
    running: CostArray = np.full(len(costs), np.nan)
    running[WINDOW - 1 :] = (total[WINDOW:] - total[:-WINDOW]) / WINDOW
    return running
