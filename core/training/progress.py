"""What a training run tells about itself, epoch by epoch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.training.recipe import Phase

LIVE_THRESHOLD = 0.5
COLLAPSE_SHARE = 0.95
COST_AWARE = ("v1", "v2", "v3", "v4")


@dataclass(frozen=True)
class EpochReport:
    """What an epoch brought, measured on the calibration split.

    Attributes:
        epoch: from 1.
        loss: mean training loss.
        accuracy: (E) accuracy of each exit, had all samples left there.
        exit_share: (E) who would leave where at confidence 0.5 (learned confidence, or the
            largest probability where the network has none).
        relative_cost: the mean cost of that.
        policy_accuracy: the accuracy of that.
        learning_rate: at the end of the epoch.
        seconds: training and evaluation together.
        warning: a sentence when something goes wrong, else None.
    """

    epoch: int
    loss: float
    accuracy: tuple[float, ...]
    exit_share: tuple[float, ...]
    relative_cost: float
    policy_accuracy: float
    learning_rate: float
    seconds: float
    warning: str | None = None

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "EpochReport":
        """Return the report that `dataclasses.asdict` took apart and JSON kept."""
        lists = {key: tuple(value) for key, value in row.items() if isinstance(value, list)}
        return cls(**(row | lists))


def warning_about(phase: Phase, loss: float, share: list[float], learned: bool) -> str | None:
    """Say what is going wrong: a loss that is no number, or all samples leaving at one exit."""
    if not math.isfinite(loss):
        return "the loss is no longer a finite number: lower the learning rate."
    fullest = collapsed_at(share)
    if fullest is None or not (learned and phase.loss in COST_AWARE):
        return None
    if fullest == len(share) - 1:
        advice = "raise λ, or train longer with deep supervision (v0) first"
    else:
        advice = "lower λ"
    return f"{share[fullest]:.0%} of the samples leave at exit {fullest + 1}: {advice}."


def collapsed_at(share: Sequence[float]) -> int | None:
    """Return the exit where (nearly) all samples leave, or None where they spread.

    Args:
        share: (E,) part of the samples that leaves at each exit.
    """
    fullest = int(np.argmax(share))
    return fullest if len(share) > 1 and share[fullest] > COLLAPSE_SHARE else None
