"""Measured time: the whole network without exits, and the same network with a policy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.models import Model
from core.policy import Policy
from core.timing import median_seconds_of_each

FEWEST_IMAGES = 128
"""However small the batch, so many images are run, or easy ones would decide the time."""


@dataclass(frozen=True)
class Measurement:
    """Median wall time per image at one batch size, normalising and copying included.

    Attributes:
        batch_size: B.
        images: how many were run each time.
        plain_ms: trunk and final head only.
        early_exit_ms: with the policy, on the same images.
        relative_cost: what the policy costs on these images in MACs, in units of the plain network.
    """

    batch_size: int
    images: int
    plain_ms: float
    early_exit_ms: float
    relative_cost: float

    @property
    def time_ratio(self) -> float:
        """Time with the policy in units of the plain network's."""
        return self.early_exit_ms / self.plain_ms


def measure(
    model: Model, policy: Policy, images: NDArray[np.uint8], batch_size: int, repeats: int = 5
) -> Measurement:
    """Time a model with and without its early exits.

    Args:
        model: on the device to measure.
        policy: who may leave where.
        images: uint8 (N, H, W, C); taken evenly spaced, and repeated where there are too few.
        batch_size: at least 1.
        repeats: how many runs the median is taken of.

    Raises:
        UserError: a policy for another number of exits, or images of another shape.
    """
    count = max(batch_size, FEWEST_IMAGES)
    chosen = images[np.arange(count) * len(images) // count]
    plain = Policy.never("max_probability", model.card.num_exits)
    costs = model.predict(chosen, policy, batch_size).costs

    whole, skipping = median_seconds_of_each(
        [
            lambda: model.predict(chosen, plain, batch_size),
            lambda: model.predict(chosen, policy, batch_size),
        ],
        repeats,
    )
    return Measurement(
        batch_size=batch_size,
        images=count,
        plain_ms=1000 * whole / count,
        early_exit_ms=1000 * skipping / count,
        relative_cost=float(costs.mean()),
    )
