"""A histogram under the hand: dragging over it chooses a range of scores."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

KEY = "brush"

_FOLDER = Path(__file__).parent
_mount = st.components.v2.component(
    "early_exit_brush",
    css=(_FOLDER / "brush.css").read_text("utf-8"),
    js=(_FOLDER / "brush.js").read_text("utf-8"),
)


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


def brush(histogram: Histogram, on_range: Callable[[float, float], None]) -> None:
    """Show it; ``on_range`` is told the range, in [0, 1], when the hand lets go."""

    def changed() -> None:
        value = st.session_state[KEY].range
        if (
            isinstance(value, (list, tuple))
            and len(value) == 2
            and all(isinstance(end, (int, float)) for end in value)
            and 0 <= value[0] <= value[1] <= 1
        ):
            on_range(float(value[0]), float(value[1]))

    _mount(key=KEY, data=asdict(histogram), on_range_change=changed)
