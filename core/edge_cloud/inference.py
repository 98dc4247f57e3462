"""Predicted: latency, bytes and energy of an answer for each way to split a network at inference.

The device runs the stages up to the split. An image that leaves at an exit there is answered on the
device; every other one is sent, and the cloud goes on under the same policy. So the answers are
those of the whole network; only features in fewer than 32 bits may change some of them. Nothing
here needs torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from core.edge_cloud.plan import check_rate
from core.edge_cloud.traffic import Shape, check_bits, feature_bytes, image_bytes
from core.exits.routing import Routing
from core.foundation.costs import CostArray
from core.foundation.errors import UserError, nearest

Target = Literal["p95", "mean", "bytes", "energy"]
SentAs = Literal["picture", "features"]
TARGETS: tuple[Target, ...] = get_args(Target)
_ROUNDING = 1e-12  # of shares that are added up


@dataclass(frozen=True)
class Conditions:
    """What an answer meets on its way; every image is alone, and the link is steady.

    Attributes:
        rate: of the link, bits per second.
        round_trip: seconds between device and cloud and back, without the bytes that are sent. The
            answer comes back with it: its bytes are not counted.
        device_slowdown: seconds of the device per second of the machine that measured.
        cloud_speed: how many times as fast as that machine the cloud computes.
        bits: of each feature that is sent, 32, 16 or 8.
        watts: that the device draws while it computes. Waiting for the cloud costs nothing.
        joules_per_byte: that the device spends to send a byte.

    Raises:
        UserError: a value out of its range.
    """

    rate: float
    round_trip: float = 0.0
    device_slowdown: float = 1.0
    cloud_speed: float = 1.0
    bits: int = 8
    watts: float = 0.0
    joules_per_byte: float = 0.0

    def __post_init__(self) -> None:
        check_rate(self.rate)
        check_bits(self.bits)
        for name in ("device_slowdown", "cloud_speed"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(
                    f"expected `{name}` to be more than 0, but got {getattr(self, name):g}: give "
                    "1 for a machine like the one that measured."
                )
        for name in ("round_trip", "watts", "joules_per_byte"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(
                    f"expected `{name}` to be at least 0, but got {getattr(self, name):g}: give 0 "
                    "to leave it out."
                )


@dataclass(frozen=True, eq=False)
class InferencePlan:
    """One way to split a network of E exits at inference, and what an image costs by its exit.

    Attributes:
        stages_on_device: from 0 (every image is sent) to E (none is).
        shares: (E,) of the images that leave at each exit.
        sent_as: what crosses the link, None where nothing does.
        message: bytes of an image that is sent.
        device: (E,) seconds that the device computes for an image that leaves at each exit.
        link: (E,) seconds on the way, with the round trip.
        cloud: (E,) seconds that the cloud computes.
        joules: (E,) that the device spends.
    """

    stages_on_device: int
    shares: CostArray
    sent_as: SentAs | None
    message: int
    device: CostArray
    link: CostArray
    cloud: CostArray
    joules: CostArray

    @property
    def answered(self) -> float:
        """Share of the images that the device answers by itself."""
        return float(self.shares[: self.stages_on_device].sum())

    @cached_property
    def latency(self) -> CostArray:
        """(E,) seconds from an image to its answer, by the exit where it leaves."""
        return self.device + self.link + self.cloud

    def percentile(self, percent: float) -> float:
        """Return the seconds that so many percent of the images do not exceed."""
        return weighted_percentile(self.latency, self.shares, percent)

    @property
    def mean_seconds(self) -> tuple[float, float, float]:
        """Mean seconds per image on the device, on the link and in the cloud."""
        device, link, cloud = (
            float(each @ self.shares) for each in (self.device, self.link, self.cloud)
        )
        return device, link, cloud

    def figure(self, target: Target) -> float:
        """Return what is to be small: "p95" or "mean" latency, or "bytes" or "energy" per image.

        In seconds, bytes and joules; the last three are means over all images.
        """
        if target == "p95":
            return self.percentile(95)
        if target == "mean":
            return sum(self.mean_seconds)
        if target == "bytes":
            return self.message * float(self.shares[self.stages_on_device :].sum())
        return float(self.joules @ self.shares)


def leaving_shares(routing: Routing, hard: float | None = None) -> CostArray:
    """Return the share (E,) of the images that leave at each exit.

    Args:
        routing: of a table under a policy.
        hard: share of the images that no early exit answers, in [0, 1]. The others keep their
            proportions. None: as the table has it.

    Raises:
        UserError: no images, a share out of range, or one of a kind of which the table has none.
    """
    if not len(routing):
        raise UserError(
            "expected a table of at least one image, but got none: give its test table."
        )
    shares = np.bincount(routing.exits, minlength=routing.table.num_exits) / len(routing)
    if hard is None:
        return shares
    known = float(shares[-1])
    if not 0 <= hard <= 1 or (known in (0, 1) and hard != known):
        possible = f"{known:g}, as in the table" if known in (0, 1) else "in [0, 1]"
        raise UserError(
            f"expected the share of hard images to be {possible}, but got {hard:g}; give None for "
            "that of the table."
        )
    if known not in (0, 1):
        shares[:-1] *= (1 - hard) / (1 - known)
        shares[-1] = hard
    return shares


def weighted_percentile(values: CostArray, weights: CostArray, percent: float) -> float:
    """Return the smallest of the values up to which so many percent of the weight lie.

    Args:
        values: (E,).
        weights: (E,) of at least 0, 1 in sum.
        percent: in (0, 100].
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) >= percent / 100 - _ROUNDING
    return float(values[order][np.argmax(reached)])


def inference_plans(
    stages: Sequence[float],
    heads: Sequence[float],
    enabled: Sequence[bool],
    shares: CostArray,
    stage_shapes: Sequence[Shape],
    image_shape: Shape,
    conditions: Conditions,
) -> tuple[InferencePlan, ...]:
    """Return all ways to split: every image sent, each enabled early exit, all on the device.

    An image that is sent travels as the features at the split or as the picture, a byte for each
    pixel and channel, whichever is smaller. With the picture, the cloud begins at the first stage.

    Args:
        stages: (E) measured seconds of each stage for one image.
        heads: (E) of each head.
        enabled: E-1 flags of the policy; a head that is off is not computed.
        shares: (E,) from `leaving_shares`.
        stage_shapes: (E) what each stage puts out, (C, H, W).
        image_shape: as the network reads it, (C, H, W).
        conditions: of device, link and cloud.
    """
    exits = len(stages)
    on = np.array([*enabled, True])
    until = np.concatenate([[0.0], np.cumsum(stages + np.where(on, heads, 0.0))])  # (E+1)
    places = [0, *(index + 1 for index in range(exits) if on[index])]
    return tuple(
        _plan(place, stages, until, shares, stage_shapes, image_shape, conditions)
        for place in places
    )


def _plan(
    place: int,
    stages: Sequence[float],
    until: CostArray,
    shares: CostArray,
    stage_shapes: Sequence[Shape],
    image_shape: Shape,
    conditions: Conditions,
) -> InferencePlan:
    leaves = np.arange(1, len(stages) + 1)  # (E) stages that an image runs through
    sent = leaves > place
    message, again = 0, 0.0
    sent_as: SentAs | None = None
    if sent.any():
        message, again, sent_as = image_bytes(1, image_shape), sum(stages[:place]), "picture"
        features = feature_bytes(1, stage_shapes[place - 1], conditions.bits)
        if place and features < message:
            message, again, sent_as = features, 0.0, "features"
    device = until[np.minimum(leaves, place)] * conditions.device_slowdown
    on_the_way = 8 * message / conditions.rate + conditions.round_trip
    return InferencePlan(
        stages_on_device=place,
        shares=shares,
        sent_as=sent_as,
        message=message,
        device=device,
        link=np.where(sent, on_the_way, 0.0),
        cloud=np.where(sent, until[leaves] - until[place] + again, 0.0) / conditions.cloud_speed,
        joules=device * conditions.watts + sent * message * conditions.joules_per_byte,
    )


def best_split(plans: Sequence[InferencePlan], target: Target) -> InferencePlan:
    """Return the plan with the least of a target; of equals, the quickest in the mean.

    Of those that are equal in this, too, the one with the most stages on the device.

    Raises:
        UserError: an unknown target.
    """
    if target not in TARGETS:
        raise UserError(
            f"expected the target to be one of {', '.join(TARGETS)}, but got {target!r}."
            f"{nearest(target, TARGETS)}"
        )

    def rank(plan: InferencePlan) -> tuple[float, float, int]:
        return plan.figure(target), plan.figure("mean"), -plan.stages_on_device

    return min(plans, key=rank)
