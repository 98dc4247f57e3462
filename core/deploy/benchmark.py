"""Benchmarks: wall time of a network with a policy, without early exits, and of its parts."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.deploy.bundle import NEXT
from core.deploy.bundle import Model as ExportableModel
from core.deploy.runtimes import Run, Runtime, opened, opened_stages
from core.exits.inference import Prediction
from core.exits.policy import Policy
from core.networks.network import ExitNetwork

FEWEST_IMAGES = 128
"""Least number of images to time, whatever the batch size: few images may all be easy ones."""

PERCENTILES = (50, 95)


class Model(Protocol):
    """A network on its device that reads images, for example `core.hub.model.Model`."""

    @property
    def network(self) -> ExitNetwork:
        """In eval mode."""

    @property
    def device(self) -> torch.device:
        """Device of the network."""

    def normalised(self, images: NDArray[np.uint8]) -> Tensor:
        """Return images uint8 (N, H, W, C) as the network reads them."""

    def predict(self, images: NDArray[np.uint8], policy: Policy, batch_size: int, /) -> Prediction:
        """Run the network with early exits."""


Clock = Callable[[], float]
"""Returns the seconds since some moment."""


def seconds_of_each(
    runs: Sequence[Callable[[], object]], repeats: int = 5, clock: Clock = time.perf_counter
) -> list[list[float]]:
    """Return the wall times of each function, called in turns after a warm-up.

    In turns, other work on the machine slows all functions alike, so that their ratio holds.

    Returns:
        Of each function, ``repeats`` times in seconds; those of one turn at the same index.
    """
    for run in runs:
        run()
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, seconds in zip(runs, times, strict=True):
            start = clock()
            run()
            seconds.append(clock() - start)
    return times


def median_seconds_of_each(
    runs: Sequence[Callable[[], object]], repeats: int = 5, clock: Clock = time.perf_counter
) -> list[float]:
    """Return the median of `seconds_of_each` function."""
    return [statistics.median(seconds) for seconds in seconds_of_each(runs, repeats, clock)]


@dataclass(frozen=True)
class Timing:
    """Median wall time per image of several models with their policies, measured in turns.

    Attributes:
        batch_size: B.
        images: number of images in each run.
        seconds: per image, of each model; normalising and copying included.
    """

    batch_size: int
    images: int
    seconds: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Time of the last model in units of the first model's."""
        return self.seconds[-1] / self.seconds[0]

    def to_dict(self) -> dict[str, float]:
        """Return the times of a plain and an early-exit model in milliseconds, and their ratio."""
        plain, early_exit = self.seconds
        times = {"plain_ms": 1000 * plain, "early_exit_ms": 1000 * early_exit}
        return {**times, "time_ratio": self.ratio}


def time_models(
    entries: Sequence[tuple[Model, Policy]],
    images: NDArray[np.uint8],
    batch_size: int,
    repeats: int = 5,
    clock: Clock = time.perf_counter,
) -> Timing:
    """Time models with their policies on the same images.

    Args:
        entries: models that read the same size of image, each with the policy it runs with.
        images: uint8 (N, H, W, C); evenly spaced ones are run, repeated if too few.
        batch_size: at least 1.
        repeats: number of runs that the median is taken of.
        clock: tells the time.

    Raises:
        UserError: a policy for another number of exits, or images of another shape.
    """
    chosen = evenly_spaced(images, max(batch_size, FEWEST_IMAGES))
    runs = [partial(model.predict, chosen, policy, batch_size) for model, policy in entries]
    seconds = median_seconds_of_each(runs, repeats, clock)
    return Timing(batch_size, len(chosen), tuple(total / len(chosen) for total in seconds))


@dataclass(frozen=True)
class Latency:
    """Wall time of batches of one size, in seconds.

    Attributes:
        batches: (M,) time of each batch, the median of its repeats.
        images: number of images in them.
    """

    batches: tuple[float, ...]
    images: int

    @property
    def per_image(self) -> float:
        """Mean over the images."""
        return sum(self.batches) / self.images

    def percentile(self, percent: float) -> float:
        """Return the time of a batch that so many percent of them do not exceed."""
        return float(np.percentile(self.batches, percent))

    def to_dict(self, prefix: str = "") -> dict[str, float]:
        """Return milliseconds per image, and percentiles of a batch, by prefixed names."""
        figures = {f"{prefix}ms": 1000 * self.per_image}
        for percent in PERCENTILES:
            figures[f"{prefix}p{percent}_ms"] = 1000 * self.percentile(percent)
        return figures


@dataclass(frozen=True)
class Speedup:
    """Times of one runtime without early exits and with a policy.

    Attributes:
        runtime: a name in `core.deploy.runtimes.RUNTIMES`.
        precision: it computed in.
        batch_size: B.
        plain: without early exits.
        early_exit: with the policy, on the same images.
        relative_cost: MACs of the policy on these images, in units of the plain network.
    """

    runtime: str
    precision: str
    batch_size: int
    plain: Latency
    early_exit: Latency
    relative_cost: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON types, times in milliseconds; percentiles are of batches."""
        facts = {"runtime": self.runtime, "precision": self.precision}
        figures: dict[str, Any] = {"batch_size": self.batch_size, "images": self.plain.images}
        figures |= self.plain.to_dict("plain_") | self.early_exit.to_dict("early_exit_")
        figures["time_ratio"] = self.early_exit.per_image / self.plain.per_image
        return facts | figures | {"relative_cost": self.relative_cost}


def latencies(
    runs: Sequence[Run],
    images: NDArray[np.uint8],
    batch_size: int,
    repeats: int = 3,
    clock: Clock = time.perf_counter,
) -> list[Latency]:
    """Return the latency of each function, batch by batch in turns, after a warm-up.

    Args:
        runs: each classifies images uint8 (N, H, W, C) in batches of a size.
        images: uint8 (N, H, W, C); evenly spaced ones are run, repeated if too few.
        batch_size: at least 1.
        repeats: number of rounds; each batch counts with its median.
        clock: tells the time.
    """
    count = math.ceil(FEWEST_IMAGES / batch_size) * batch_size
    chosen = evenly_spaced(images, count)
    batches = [chosen[first : first + batch_size] for first in range(0, count, batch_size)]
    for run in runs:
        run(batches[0], batch_size)
    seconds = np.empty((len(runs), len(batches), repeats))
    for repeat in range(repeats):
        for place, batch in enumerate(batches):
            for index, run in enumerate(runs):
                start = clock()
                run(batch, batch_size)
                seconds[index, place, repeat] = clock() - start
    return [Latency(tuple(each.tolist()), count) for each in np.median(seconds, axis=2)]


def time_in_runtimes(
    entries: Sequence[tuple[ExportableModel, Policy]],
    images: NDArray[np.uint8],
    batch_sizes: Sequence[int],
    chosen: Sequence[tuple[Runtime, str]],
    threads: int,
    repeats: int = 3,
) -> dict[int, list[tuple[Latency, ...]]]:
    """Time models with their policies on the same images, in several runtimes, in turns.

    Args:
        entries: models that read the same size of image, each with the policy it runs with.
        images: uint8 (N, H, W, C); evenly spaced ones are run, repeated if too few.
        batch_sizes: each at least 1.
        chosen: runtimes and precisions, see `core.deploy.runtimes.configurations`.
        threads: number of CPU threads of the runtimes other than torch, which has its own.
        repeats: number of rounds; each batch counts with its median.

    Returns:
        By batch size and for each runtime, the time of every entry.

    Raises:
        UserError: a policy for another number of exits, images of another shape, or a model that
            cannot be exported.
    """
    with ExitStack() as stack:
        of_entries = [
            stack.enter_context(opened(model, policy, chosen, images, threads))
            for model, policy in entries
        ]
        runs = [run for of_runtime in zip(*of_entries, strict=True) for run in of_runtime]
        measured = {size: latencies(runs, images, size, repeats) for size in batch_sizes}
    return {
        size: [tuple(times[at : at + len(entries)]) for at in range(0, len(times), len(entries))]
        for size, times in measured.items()
    }


def measure_speedups(
    model: ExportableModel,
    policy: Policy,
    images: NDArray[np.uint8],
    batch_sizes: Sequence[int],
    chosen: Sequence[tuple[Runtime, str]],
    threads: int,
    repeats: int = 3,
) -> list[Speedup]:
    """Time a model without early exits and with a policy, see `time_in_runtimes`."""
    plain = Policy.never("max_probability", model.network.num_exits)
    entries = [(model, plain), (model, policy)]
    found = []
    times = time_in_runtimes(entries, images, batch_sizes, chosen, threads, repeats)
    for size, by_runtime in times.items():
        ran = evenly_spaced(images, by_runtime[0][0].images)
        cost = float(model.predict(ran, policy).costs.mean())
        found += [
            Speedup(runtime.name, precision, size, without, with_exits, cost)
            for (runtime, precision), (without, with_exits) in zip(chosen, by_runtime, strict=True)
        ]
    return found


@dataclass(frozen=True)
class StageTimes:
    """Median wall time per image of a network's stages in one runtime.

    Attributes:
        runtime: its title.
        precision: it computed in.
        stages: (E,) seconds of each stage with its head.
    """

    runtime: str
    precision: str
    stages: tuple[float, ...]


@torch.inference_mode()
def time_stages(
    model: ExportableModel,
    images: NDArray[np.uint8],
    batch_size: int,
    chosen: Sequence[tuple[Runtime, str]],
    threads: int,
    repeats: int = 15,
    clock: Clock = time.perf_counter,
) -> list[StageTimes]:
    """Time every stage with its head by itself, in several runtimes, in turns.

    Args:
        model: on the CPU.
        images: uint8 (N, H, W, C); evenly spaced ones are run, repeated if too few.
        batch_size: at least 1.
        chosen: runtimes and precisions, see `core.deploy.runtimes.installed`.
        threads: number of CPU threads of the runtimes other than torch, which has its own.
        repeats: number of runs that each median is taken of.
        clock: tells the time.

    Raises:
        UserError: a model that cannot be exported.
    """
    every = Policy("max_probability", (1.0,) * (model.network.num_exits - 1))
    features: NDArray[Any] = evenly_spaced(images, batch_size)
    runs: list[Callable[[], object]] = []
    with opened_stages(model, every, chosen, images, threads) as by_runtime:
        for stages in zip(*by_runtime, strict=True):
            runs += [partial(stage, features) for stage in stages]
            features = stages[0](features).get(NEXT, features)
        seconds = median_seconds_of_each(runs, repeats, clock)
    return [
        StageTimes(
            runtime.title,
            precision,
            tuple(each / batch_size for each in seconds[place :: len(chosen)]),
        )
        for place, (runtime, precision) in enumerate(chosen)
    ]


def evenly_spaced(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return ``count`` images, evenly spaced, repeated if there are fewer."""
    return images[np.arange(count) * len(images) // count]


@dataclass(frozen=True)
class PartTimes:
    """Median wall time per image of a network's parts at one batch size, in seconds.

    Attributes:
        batch_size: B.
        threads: number of CPU threads.
        stages: (E,) each stage by itself.
        heads: (E,) each head by itself.
        plain: the plain network, all stages and the last head in one run.
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
    model: Model,
    images: NDArray[np.uint8],
    batch_size: int,
    repeats: int = 15,
    clock: Clock = time.perf_counter,
) -> PartTimes:
    """Time every stage and head by itself, and the plain network, in turns.

    Args:
        model: on the device to measure.
        images: uint8 (N, H, W, C); evenly spaced ones are run, repeated if too few.
        batch_size: at least 1.
        repeats: number of runs that each median is taken of.
        clock: tells the time.

    Raises:
        UserError: images of another shape.
    """
    network, exits = model.network, model.network.num_exits
    batch = model.normalised(evenly_spaced(images, batch_size)).to(network.dtype)
    inputs = [batch]  # of each stage, and the output of the last
    for index in range(exits):
        inputs.append(network.stage(index, inputs[-1]))

    def synchronised(run: Callable[[], object]) -> None:
        run()
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)

    def plain() -> None:
        features = batch
        for index in range(exits):
            features = network.stage(index, features)
        network.head(exits - 1, features)

    parts: list[Callable[[], object]] = [plain]
    for index in range(exits):
        parts.append(partial(network.stage, index, inputs[index]))
        parts.append(partial(network.head, index, inputs[index + 1]))
    runs = [partial(synchronised, part) for part in parts]
    seconds = median_seconds_of_each(runs, repeats, clock)
    plain_seconds, *each = [batch_seconds / batch_size for batch_seconds in seconds]
    return PartTimes(
        batch_size=batch_size,
        threads=torch.get_num_threads(),
        stages=tuple(each[0::2]),
        heads=tuple(each[1::2]),
        plain=plain_seconds,
    )
