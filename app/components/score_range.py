"""A histogram of scores: dragging over it chooses a range of them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from app.components.mount import component

_show = component("score_range")


@dataclass(frozen=True)
class Bars:
    """Half of the histogram: what it counts, and how many fall in each part of [0, 1]."""

    name: str
    counts: list[int]


@dataclass(frozen=True)
class Histogram:
    """Scores, and what is chosen of them.

    Attributes:
        title: what the scores are.
        help: a sentence on them.
        up: drawn upwards, as those who are fine.
        down: drawn downwards on a scale of its own.
        below: (101,) how many scores are below each multiple of 1/100.
        at_most: (101,) how many are at most that.
        low: the range that is chosen.
        high: its end.
    """

    title: str
    help: str
    up: Bars
    down: Bars
    below: list[int]
    at_most: list[int]
    low: float
    high: float


def score_range(histogram: Histogram, on_range: Callable[[float, float], None]) -> None:
    """Show it; ``on_range`` is told the range, in [0, 1], when the hand lets go."""

    def changed(value: Any) -> None:
        found = range_in(value)
        if found is not None:
            on_range(*found)

    _show("score_range", asdict(histogram), range=changed)


def range_in(value: Any) -> tuple[float, float] | None:
    """Return the range inside [0, 1] that a browser sent; None for anything else."""
    match value:
        case [int() | float() as low, int() | float() as high] if 0 <= low <= high <= 1:
            return float(low), float(high)
    return None
