"""How many leave at each exit: cards in a row, each a button that filters."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

KEY = "tally"

_FOLDER = Path(__file__).parent
_mount = st.components.v2.component(
    "early_exit_tally",
    css=(_FOLDER / "tally.css").read_text("utf-8"),
    js=(_FOLDER / "tally.js").read_text("utf-8"),
)


@dataclass(frozen=True)
class Card:
    """One card.

    Attributes:
        value: what it reports when it is picked.
        name: of the exit.
        count: how many leave there, as text.
        share: of all, as text.
        note: a line below.
        width: of its bar, in [0, 1].
        title: what picking it does.
        chosen: whether the filter stands on it.
    """

    value: int
    name: str
    count: str
    share: str
    note: str
    width: float
    title: str
    chosen: bool


def tally(cards: Sequence[Card], label: str, on_pick: Callable[[int], None]) -> None:
    """Show the cards; ``on_pick`` is told the value of one that is clicked."""

    def picked() -> None:
        value = st.session_state[KEY].picked
        if isinstance(value, int):
            on_pick(value)

    _mount(
        key=KEY,
        data={"label": label, "cards": [asdict(card) for card in cards]},
        on_picked_change=picked,
    )
