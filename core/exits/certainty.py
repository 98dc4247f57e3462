"""How sure the figures of a policy are: their confidence intervals, paired with a reference."""

from dataclasses import dataclass

import numpy as np

from core.exits.intervals import accuracy_interval, difference_interval, mean_interval
from core.exits.policy import Policy
from core.exits.routing import route
from core.exits.table import BoolArray, ExitTable


@dataclass(frozen=True)
class Certainty:
    """95 % confidence intervals, (low, high), of what a policy does on new images.

    They hold for policies that were not chosen on the images of the table.

    Attributes:
        accuracy: Wilson's.
        relative_cost: mean ± 1.96 standard errors.
        difference: accuracy less that of the reference on the same images.
        difference_interval: Tango's, for pairs.
        samples: number of images.
    """

    accuracy: tuple[float, float]
    relative_cost: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    samples: int


def certainty(
    table: ExitTable, policy: Policy, reference: BoolArray | None = None
) -> Certainty | None:
    """Return how sure a policy's figures on a table are; None without labelled samples.

    Args:
        table: of a split that the policy was not chosen on.
        policy: applied to it.
        reference: ``(N,)`` whether the reference is right; None: the last exit.
    """
    labelled = table.labelled
    samples = int(np.count_nonzero(labelled))
    if not samples:
        return None
    routing = route(table, policy)
    right = routing.right[labelled]
    of_reference = (table.right[:, -1] if reference is None else reference)[labelled]
    losses = int(np.count_nonzero(of_reference & ~right))
    gains = int(np.count_nonzero(right & ~of_reference))
    return Certainty(
        accuracy=accuracy_interval(int(right.sum()), samples),
        relative_cost=mean_interval(routing.costs),
        difference=(gains - losses) / samples,
        difference_interval=difference_interval(losses, gains, samples),
        samples=samples,
    )
