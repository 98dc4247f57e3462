"""Predicted: how long an epoch takes for each way to share a training between edge and cloud.

A batch passes three stations: the edge computes forwards, hands over and goes on with its own
gradients; the link carries the features; the cloud learns from them. They work at the same time
on different batches, so an epoch takes as long as its slowest station, and a little for the first
batch to come through. Nothing here needs torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

from core.edge_cloud.traffic import Shape, batch_bytes, check_bits, image_bytes, label_bytes
from core.foundation.errors import UserError

Kind = Literal["edge", "split", "cloud"]
Lane = Literal["edge forward", "edge backward", "link", "cloud"]
Station = Literal["edge", "link", "cloud"]
STATIONS: tuple[Station, ...] = get_args(Station)

SLOWEST, FASTEST = 1e4, 1e11
"""Rates (bits per second) between which crossings are looked for."""
_PER_DECADE = 40
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class TrainingTimes:
    """Seconds that each part of a network takes to learn from one batch, on one machine.

    Attributes:
        batch_size: B.
        threads: of the machine's processor that were used.
        stage_forward: (E).
        stage_backward: (E) gradients and the optimiser's step.
        head_forward: (E) with the loss.
        head_backward: (E).
    """

    batch_size: int
    threads: int
    stage_forward: tuple[float, ...]
    stage_backward: tuple[float, ...]
    head_forward: tuple[float, ...]
    head_backward: tuple[float, ...]

    def forward(self, start: int, stop: int) -> float:
        """Seconds of stages and heads ``start`` up to but without ``stop``, forwards."""
        return sum(self.stage_forward[start:stop]) + sum(self.head_forward[start:stop])

    def backward(self, start: int, stop: int) -> float:
        """Likewise, backwards."""
        return sum(self.stage_backward[start:stop]) + sum(self.head_backward[start:stop])


@dataclass(frozen=True)
class Plan:
    """One way to share a training, and what a batch costs at each station.

    Attributes:
        name: of the early exit to split at, or "all on the edge" or "all in the cloud".
        kind: "edge" (nothing is sent), "split", or "cloud" (raw images are sent).
        batch_size: B.
        forward: seconds until the edge has something to hand over.
        backward: seconds that the edge computes afterwards.
        message: bytes that travel.
        cloud: seconds that the cloud computes.
    """

    name: str
    kind: Kind
    batch_size: int
    forward: float
    backward: float
    message: int
    cloud: float

    @property
    def edge(self) -> float:
        """Seconds that the edge computes for a batch."""
        return self.forward + self.backward

    def link(self, rate: float) -> float:
        """Seconds that the link is busy with a batch, at ``rate`` bits per second."""
        return 8 * self.message / rate

    def totals(self, rate: float, batches: int) -> dict[Station, float]:
        """Return the seconds that each station is at work for so many batches."""
        each = {"edge": self.edge, "link": self.link(rate), "cloud": self.cloud}
        return {station: batches * each[station] for station in STATIONS}

    def busiest(self, rate: float) -> float:
        """Seconds from batch to batch: those of the slowest station."""
        return max(self.edge, self.link(rate), self.cloud)

    def bottleneck(self, rate: float) -> Station:
        """Return which station is the slowest."""
        totals = self.totals(rate, 1)
        return max(STATIONS, key=totals.__getitem__)

    def busy(self, rate: float) -> dict[Station, float]:
        """Return the part of the time, once batches flow, that each station is at work."""
        totals, busiest = self.totals(rate, 1), self.busiest(rate)
        return {station: totals[station] / busiest for station in STATIONS}

    def seconds(self, rate: float, batches: int) -> float:
        """Predicted seconds for so many batches in a row."""
        link, busiest = self.link(rate), self.busiest(rate)
        return self.forward + (batches - 1) * busiest + max(link + self.cloud, self.backward)

    def bytes(self, batches: int) -> int:
        """Bytes that so many batches take on the link."""
        return self.message * batches

    @property
    def bytes_per_image(self) -> float:
        """Bytes on the link for one image."""
        return self.message / self.batch_size


def plans(
    times: TrainingTimes,
    exit_names: Sequence[str],
    stage_shapes: Sequence[Shape],
    image_shape: Shape,
    num_classes: int,
    bits: int,
    cloud_speed: float = 1.0,
) -> tuple[Plan, ...]:
    """Return all ways to share a training: all on the edge, each split, all in the cloud.

    All in the cloud sends the images as bytes, in every epoch anew, as they come in at the edge.

    Args:
        times: measured on the edge.
        exit_names: (E), "final" last.
        stage_shapes: (E) what each stage puts out, (C, H, W).
        image_shape: (C, H, W).
        num_classes: K.
        bits: 32, 16 or 8 for each feature.
        cloud_speed: how many times as fast as the edge the cloud computes.

    Raises:
        UserError: bits or a speed that there cannot be, or a network without early exits.
    """
    exits = len(exit_names)
    if exits < 2:
        raise UserError(
            "expected a network with early exits to split between edge and cloud, but it has "
            "none: choose one that has."
        )
    check_bits(bits)
    if not 0 < cloud_speed < math.inf:
        raise UserError(
            f"expected the cloud's speed to be more than 0 times the edge's, but got "
            f"{cloud_speed:g}: give 1 for an equal, 10 for a machine ten times as fast."
        )
    size = times.batch_size
    forward, backward = times.forward(0, exits), times.backward(0, exits)
    every = [Plan("all on the edge", "edge", size, forward, backward, 0, 0.0)]
    for index, name in enumerate(exit_names[:-1]):
        here = index + 1
        every.append(
            Plan(
                name=name,
                kind="split",
                batch_size=size,
                # the features leave before the exit's own head reads them
                forward=times.forward(0, here) - times.head_forward[index],
                backward=times.backward(0, here) + times.head_forward[index],
                message=batch_bytes(size, stage_shapes[index], bits, num_classes),
                cloud=(times.forward(here, exits) + times.backward(here, exits)) / cloud_speed,
            )
        )
    images = image_bytes(size, image_shape) + label_bytes(size, num_classes)
    seconds = (forward + backward) / cloud_speed
    every.append(Plan("all in the cloud", "cloud", size, 0.0, 0.0, images, seconds))
    return tuple(every)


def rate_grid(slowest: float, fastest: float, per_decade: int = _PER_DECADE) -> list[float]:
    """Return rates from slow to fast, so many in each power of ten."""
    count = math.ceil(per_decade * math.log10(fastest / slowest)) + 1
    return [slowest * (fastest / slowest) ** (index / (count - 1)) for index in range(count)]


def best(choices: Sequence[Plan], rate: float, batches: int) -> Plan:
    """Return the quickest plan at a rate; of equals, the one that sends least."""
    check_rate(rate)
    return min(choices, key=lambda plan: (plan.seconds(rate, batches), plan.message))


@dataclass(frozen=True)
class Stretch:
    """A stretch of rates (bits per second) over which one plan is the quickest."""

    plan: Plan
    slowest: float
    fastest: float


def stretches(
    choices: Sequence[Plan], batches: int, slowest: float = SLOWEST, fastest: float = FASTEST
) -> tuple[Stretch, ...]:
    """Return which plan is the quickest from which rate on, from slow to fast."""
    rates = rate_grid(slowest, fastest)
    ranges = [Stretch(best(choices, rates[0], batches), slowest, fastest)]
    for before, after in pairwise(rates):
        last, now = ranges[-1], best(choices, after, batches)
        if now != last.plan:
            crossing = _crossing(choices, batches, last.plan, before, after)
            ranges[-1] = replace(last, fastest=crossing)
            ranges.append(Stretch(now, crossing, fastest))
    return tuple(ranges)


def _crossing(
    choices: Sequence[Plan], batches: int, plan: Plan, slower: float, faster: float
) -> float:
    for _ in range(40):
        middle = math.sqrt(slower * faster)
        if best(choices, middle, batches) == plan:
            slower = middle
        else:
            faster = middle
    return faster


@dataclass(frozen=True)
class Bar:
    """One batch at one station, from ``start`` to ``end`` (seconds)."""

    lane: Lane
    batch: int
    start: float
    end: float


def timeline(plan: Plan, rate: float, batches: int) -> tuple[Bar, ...]:
    """Return when each of so many batches is at which station, with unlimited queues."""
    check_rate(rate)
    bars = []
    edge_free = link_free = cloud_free = 0.0
    for batch in range(batches):
        handed = edge_free + plan.forward
        bars.append(Bar("edge forward", batch, edge_free, handed))
        edge_free = handed + plan.backward
        bars.append(Bar("edge backward", batch, handed, edge_free))
        if plan.kind != "edge":
            sent = max(handed, link_free)
            link_free = sent + plan.link(rate)
            bars.append(Bar("link", batch, sent, link_free))
            begun = max(link_free, cloud_free)
            cloud_free = begun + plan.cloud
            bars.append(Bar("cloud", batch, begun, cloud_free))
    return tuple(bar for bar in bars if bar.end > bar.start)


def batches_in(images: int, batch_size: int) -> int:
    """Return the number of full batches in an epoch, at least one."""
    return max(images // batch_size, 1)


def check_rate(rate: float) -> None:
    """Raise `UserError` unless it is a possible rate in bits per second."""
    if not 0 < rate < math.inf:
        raise UserError(
            f"expected the link's rate to be more than 0 bits per second, but got {rate:g}: "
            "give one like 10M."
        )


def parse_rate(text: str) -> float:
    """Return the bits per second of a text like "10M", "250k", "1.5G" or "9600".

    Raises:
        UserError: no rate, or one that is not above 0.
    """
    number, unit = (text[:-1], text[-1:]) if text[-1:] in ("k", "M", "G") else (text, "")
    try:
        rate = float(number) * _UNITS[unit]
    except ValueError:
        raise UserError(
            f"expected the link's rate in bits per second, like 250k, 10M or 1G, but got {text!r}."
        ) from None
    check_rate(rate)
    return rate


def rate_text(rate: float) -> str:
    """Return bits per second as people read them: "10 Mbit/s"."""
    for unit in ("G", "M", "k"):
        if rate >= 0.9995 * _UNITS[unit]:
            return f"{rate / _UNITS[unit]:.3g} {unit}bit/s"
    return f"{rate:.3g} bit/s"
