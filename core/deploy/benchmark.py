"""Measured time: the whole network without exits, and the same network with a policy."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


def median_seconds_of_each(runs: Sequence[Callable[[], object]], repeats: int = 5) -> list[float]:
    """Call each of ``runs`` once to warm up, then in turns; return each one's median wall time.

    Whatever else the machine does meanwhile then slows all of them alike, so their ratio holds.
    """
    for run in runs:
        run()
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, own in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in times]


@dataclass(frozen=True)
class Timing:
    """Median wall time per image of several models with their policies, measured in turns.

    Attributes:
        batch_size: B.
        images: how many were run each time.
        seconds: per image, of each; normalising and copying included.
    """

    batch_size: int
    images: int
    seconds: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Time of the last in units of the first's."""
        return self.seconds[-1] / self.seconds[0]


def time_models(
    entries: Sequence[tuple[Model, Policy]],
    images: NDArray[np.uint8],
    batch_size: int,
    repeats: int = 5,
) -> Timing:
    """Time models with their policies on the same images.

    Args:
        entries: models that read the same size of image, each with the policy it runs with.
        images: uint8 (N, H, W, C); taken evenly spaced, and repeated where there are too few.
        batch_size: at least 1.
        repeats: how many runs the median is taken of.

    Raises:
        UserError: a policy for another number of exits, or images of another shape.
    """
    chosen = evenly_spaced(images, max(batch_size, FEWEST_IMAGES))
    runs = [partial(model.predict, chosen, policy, batch_size) for model, policy in entries]
    seconds = median_seconds_of_each(runs, repeats)
    return Timing(batch_size, len(chosen), tuple(whole / len(chosen) for whole in seconds))


@dataclass(frozen=True)
class Speedup:
    """A model with its policy beside the same model without early exits.

    Attributes:
        timing: of the model without early exits, then with.
        relative_cost: what the policy costs on these images in MACs, in units of the plain network.
    """

    timing: Timing
    relative_cost: float

    def to_dict(self) -> dict[str, float]:
        """Return the figures as JSON types, times in milliseconds per image."""
        plain, early_exit = self.timing.seconds
        return {
            "batch_size": self.timing.batch_size,
            "images": self.timing.images,
            "plain_ms": 1000 * plain,
            "early_exit_ms": 1000 * early_exit,
            "time_ratio": self.timing.ratio,
            "relative_cost": self.relative_cost,
        }


def measure_speedup(
    model: Model, policy: Policy, images: NDArray[np.uint8], batch_size: int, repeats: int = 5
) -> Speedup:
    """Time a model with and without its early exits; arguments as in `time_models`."""
    plain = Policy.never("max_probability", model.network.num_exits)
    timing = time_models([(model, plain), (model, policy)], images, batch_size, repeats)
    costs = model.predict(evenly_spaced(images, timing.images), policy, batch_size).costs
    return Speedup(timing, float(costs.mean()))


def evenly_spaced(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return so many images, evenly spaced, and repeated where there are too few."""
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
    batch = model.normalised(evenly_spaced(images, batch_size))
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
    whole, *each = [batch_seconds / batch_size for batch_seconds in seconds]
    return PartTimes(
        batch_size=batch_size,
        threads=torch.get_num_threads(),
        stages=tuple(each[0::2]),
        heads=tuple(each[1::2]),
        plain=whole,
    )
