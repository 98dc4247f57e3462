"""Measured time: the whole network without exits, and the same network with a policy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.deploy.timing import median_seconds_of_each
from core.exits.inference import Prediction
from core.exits.policy import Policy
from core.networks.network import ExitNetwork

FEWEST_IMAGES = 128
"""However small the batch, so many images are run, or easy ones would decide the time."""


class Model(Protocol):
    """What is timed: a network on its device that reads images; `core.hub.model.Model` is one."""

    @property
    def network(self) -> ExitNetwork:
        """In eval mode."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""

    def normalised(self, images: NDArray[np.uint8]) -> Tensor:
        """Return images uint8 (N, H, W, C) as the network reads them."""

    def predict(self, images: NDArray[np.uint8], policy: Policy, batch_size: int, /) -> Prediction:
        """Answer with early exits in use."""


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
    plain = Policy.never("max_probability", model.network.num_exits)
    timed = race([(model, plain), (model, policy)], images, batch_size, repeats)
    whole, skipping = timed.seconds
    costs = model.predict(_spread(images, batch_size), policy, batch_size).costs
    return Measurement(
        batch_size=batch_size,
        images=timed.images,
        plain_ms=1000 * whole,
        early_exit_ms=1000 * skipping,
        relative_cost=float(costs.mean()),
    )


@dataclass(frozen=True)
class Race:
    """Median wall time per image of several configurations, taken in turns.

    Attributes:
        batch_size: B.
        images: how many were run each time.
        seconds: per image, of each.
    """

    batch_size: int
    images: int
    seconds: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Time of the last in units of the first's."""
        return self.seconds[-1] / self.seconds[0]


def race(
    entries: Sequence[tuple[Model, Policy]],
    images: NDArray[np.uint8],
    batch_size: int,
    repeats: int = 5,
) -> Race:
    """Time models with their policies on the same images.

    Args:
        entries: models that read the same size of image, each with the policy it runs with.
        images: uint8 (N, H, W, C); taken evenly spaced, and repeated where there are too few.
        batch_size: at least 1.
        repeats: how many runs the median is taken of.

    Raises:
        UserError: a policy for another number of exits, or images of another shape.
    """
    chosen = _spread(images, batch_size)
    count = len(chosen)

    def run(model: Model, policy: Policy) -> Callable[[], object]:
        return lambda: model.predict(chosen, policy, batch_size)

    seconds = median_seconds_of_each([run(*entry) for entry in entries], repeats)
    return Race(batch_size, count, tuple(one / count for one in seconds))


def _spread(images: NDArray[np.uint8], batch_size: int) -> NDArray[np.uint8]:
    count = max(batch_size, FEWEST_IMAGES)
    return images[np.arange(count) * len(images) // count]


@dataclass(frozen=True)
class PartTimes:
    """Median wall time per image of a network's parts at one batch size, in seconds.

    Attributes:
        batch_size: B.
        threads: how many the processor's part of the work could use.
        stages: (E).
        heads: (E).
        plain: of the plain network: all stages and the last head, in one go.
    """

    batch_size: int
    threads: int
    stages: tuple[float, ...]
    heads: tuple[float, ...]
    plain: float

    @property
    def stage_shares(self) -> tuple[float, ...]:
        """(E,) time of each stage in units of the plain network's."""
        return tuple(stage / self.plain for stage in self.stages)


@torch.inference_mode()
def time_parts(
    model: Model, images: NDArray[np.uint8], batch_size: int, repeats: int = 15
) -> PartTimes:
    """Time every stage and head by itself, and the plain network as a whole, in turns.

    Args:
        model: on the device to measure.
        images: uint8 (N, H, W, C); taken evenly spaced, and repeated where there are too few.
        batch_size: at least 1.
        repeats: how many runs each median is taken of.

    Raises:
        UserError: images of another shape.
    """
    network, exits = model.network, model.network.num_exits
    batch = model.normalised(images[np.arange(batch_size) * len(images) // batch_size])
    inputs = [batch]  # of each stage, and the output of the last
    for index in range(exits):
        inputs.append(network.stage(index, inputs[-1]))

    def synchronised(run: Callable[[], object]) -> Callable[[], object]:
        def whole() -> None:
            run()
            if model.device.type == "cuda":
                torch.cuda.synchronize(model.device)

        return whole

    def plain() -> None:
        features = batch
        for index in range(exits):
            features = network.stage(index, features)
        network.head(exits - 1, features)

    parts: list[Callable[[], object]] = [plain]
    for index in range(exits):
        parts.append(partial(network.stage, index, inputs[index]))
        parts.append(partial(network.head, index, inputs[index + 1]))
    seconds = median_seconds_of_each([synchronised(part) for part in parts], repeats)
    whole, *each = [one / batch_size for one in seconds]
    return PartTimes(
        batch_size=batch_size,
        threads=torch.get_num_threads(),
        stages=tuple(each[0::2]),
        heads=tuple(each[1::2]),
        plain=whole,
    )
