"""How many leave at each exit: cards in a row, each a button that filters."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.components.mount import component

_show = component("exit_counts")


@dataclass(frozen=True)
class ExitCount:
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


def exit_counts(cards: Sequence[ExitCount], label: str, on_pick: Callable[[int], None]) -> None:
    """Show the cards; ``on_pick`` is told the value of one that is clicked."""

    def picked(value: Any) -> None:
        if isinstance(value, int):
            on_pick(value)

    _show("exit_counts", {"label": label, "cards": [asdict(card) for card in cards]}, picked=picked)
