"""Reports on a training run, epoch by epoch."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

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
        front_accuracy: mean accuracy along the accuracy–cost front, see
            `core.training.selection.front_accuracy`; the best epoch has the highest.
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
    front_accuracy: float
    learning_rate: float
    seconds: float
    warning: str | None = None

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "EpochReport":
        """Return the report that `dataclasses.asdict` took apart and JSON kept."""
        lists = {key: tuple(value) for key, value in row.items() if isinstance(value, list)}
        return cls(**(row | lists))


def seconds_left(reports: Sequence[EpochReport], epochs: int) -> float:
    """Return how long the remaining epochs take if they are as long as those before, or NaN."""
    if not reports:
        return math.nan
    spent = sum(report.seconds for report in reports)
    return spent / len(reports) * (epochs - len(reports))


def warning_about(phase: Phase, loss: float, share: list[float], learned: bool) -> str | None:
    """Return a warning, if any: the loss is not finite, or all samples leave at one exit."""
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


class Show(Protocol):
    """Shows a finished epoch."""

    def __call__(self, report: EpochReport, more: str = "") -> None:
        """Show an epoch, and ``more`` at the end of its line."""


@contextmanager
def epoch_bar(name: str, epochs: int, shown: bool = True) -> Iterator[Show]:
    """Yield what shows each epoch on stderr: a line, and a bar where it is a terminal."""
    with tqdm(total=epochs, desc=name, unit=" epochs", disable=None if shown else True) as bar:

        def show(report: EpochReport, more: str = "") -> None:
            if not shown:
                return
            line = (
                f"epoch {report.epoch}/{epochs}  loss {report.loss:.4f}  "
                f"accuracy {_percents(report.accuracy)}  leave {_percents(report.exit_share)}  "
                f"cost {report.relative_cost:.1%}  {report.seconds:.1f} s  {more}"
            )
            tqdm.write(line.rstrip(), file=sys.stderr)
            if report.warning:
                tqdm.write(f"warning: {report.warning}", file=sys.stderr)
            bar.update(report.epoch - bar.n)

        yield show


def _percents(shares: Sequence[float]) -> str:
    return " · ".join(f"{share:.1%}" for share in shares)
