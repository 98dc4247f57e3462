"""What an epoch cost the two workers and the link between them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from core.training.recipe import EdgeCloud


@dataclass(frozen=True)
class EpochTraffic:
    """One epoch's training, measured; what follows it (calibration, checkpoints) is left out.

    Attributes:
        epoch: from 1.
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

    epoch: int
    seconds: float
    batch_bytes: int
    state_bytes: int
    edge_seconds: float
    edge_waited: float
    link_seconds: float
    cloud_seconds: float
    cloud_waited: float

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "EpochTraffic":
        """Return what `dataclasses.asdict` took apart and JSON kept."""
        return cls(**row)


class EdgeCloudFacts(BaseModel):
    """What training with an edge and a cloud worker cost: means over its epochs, measured.

    Bytes and seconds are those of `EpochTraffic`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    bits: int
    rate: float | None
    """Bits per second that the link was slowed down to; None: not at all."""
    seconds: float
    batch_bytes: int
    state_bytes: int
    edge_seconds: float
    edge_waited: float
    link_seconds: float
    cloud_seconds: float
    cloud_waited: float


def mean_traffic(chosen: "EdgeCloud", traffic: Sequence[EpochTraffic]) -> EdgeCloudFacts:
    """Return means over all epochs, as a card keeps them, with what was chosen."""
    means = {
        field.name: fmean(getattr(one, field.name) for one in traffic)
        for field in fields(EpochTraffic)
        if field.name != "epoch"
    }
    whole = {name: round(value) for name, value in means.items() if name.endswith("_bytes")}
    return EdgeCloudFacts(**(chosen.model_dump() | means | whole))
