"""What crosses the link: how many bytes a batch takes, and what an epoch cost. Needs no torch."""

from collections.abc import Sequence
from math import prod
from statistics import fmean
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from core.foundation.errors import UserError

if TYPE_CHECKING:
    from core.training.recipe import EdgeCloud

Shape = tuple[int, int, int]
"""Channels, height and width."""

BITS = (32, 16, 8)
"""What a feature may be sent in: float32, bfloat16, or a byte with a scale for each channel."""


def check_bits(bits: int) -> None:
    """Raise `UserError` unless features can be sent in so many bits."""
    if bits not in BITS:
        known = ", ".join(map(str, BITS[:-1]))
        raise UserError(
            f"expected the bits per feature to be {known} or {BITS[-1]}, but got {bits}: "
            "32 sends them as they are, 16 as bfloat16, 8 as bytes with a scale per channel."
        )


def feature_bytes(count: int, shape: Shape, bits: int) -> int:
    """Return the bytes of the features of ``count`` images; 8 bits need two floats a channel."""
    scales = 2 * 4 * shape[0] if bits == 8 else 0
    return count * prod(shape) * bits // 8 + scales


def label_bytes(count: int, num_classes: int) -> int:
    """Return the bytes of the labels of ``count`` images: one each, or four with many classes."""
    return count * (1 if num_classes <= 256 else 4)


def batch_bytes(count: int, shape: Shape, bits: int, num_classes: int) -> int:
    """Return the bytes of the features and labels of ``count`` images."""
    return feature_bytes(count, shape, bits) + label_bytes(count, num_classes)


def image_bytes(count: int, shape: Shape) -> int:
    """Return the bytes of ``count`` raw images, one for each pixel and channel."""
    return count * prod(shape)


class Traffic(BaseModel):
    """What one epoch cost; what follows it (calibration, checkpoints) is left out.

    Attributes:
        seconds: from the first batch until the cloud worker has learned from the last.
        batch_bytes: features and labels, from edge to cloud.
        state_bytes: both ways since the epoch before: weights and optimiser state, so that each
            side's checkpoint is whole.
        edge_seconds: the edge worker computing.
        edge_waited: the edge worker held up because the link was behind.
        link_seconds: batches being sent.
        cloud_seconds: the cloud worker computing.
        cloud_waited: the cloud worker with nothing to compute.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    batch_bytes: int
    state_bytes: int
    edge_seconds: float
    edge_waited: float
    link_seconds: float
    cloud_seconds: float
    cloud_waited: float


class EpochTraffic(Traffic):
    """What an epoch, counted from 1, cost."""

    epoch: int


class EdgeCloudFacts(Traffic):
    """What training with an edge and a cloud worker cost: means over its epochs."""

    split: str
    bits: int
    rate: float | None
    """Bits per second that the link was slowed down to; None: not at all."""


def mean_traffic(chosen: "EdgeCloud", traffic: Sequence[EpochTraffic]) -> EdgeCloudFacts:
    """Return means over all epochs, as a card keeps them, with what was chosen."""
    means = {
        name: fmean(getattr(epoch, name) for epoch in traffic) for name in Traffic.model_fields
    }
    rounded = {name: round(value) for name, value in means.items() if name.endswith("_bytes")}
    return EdgeCloudFacts(**(chosen.model_dump() | means | rounded))
