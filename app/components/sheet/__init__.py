"""A contact sheet with captions: pictures in groups, each a button that reports its number."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent
_mount = st.components.v2.component(
    "early_exit_sheet",
    css=(_FOLDER / "sheet.css").read_text("utf-8"),
    js=(_FOLDER / "sheet.js").read_text("utf-8"),
)


@dataclass(frozen=True)
class Tile:
    """One picture with its caption.

    Attributes:
        number: what it reports when it is picked.
        image: its URI; without one its class stands in its place.
        answer: the class it was taken for.
        truth: the class it is; "" where unknown.
        right: whether they agree, or None.
        notes: further lines.
        title: all of it in one sentence, for those who point at it or cannot see it.
        chosen: whether it is the open one.
    """

    number: int
    image: str | None
    answer: str
    truth: str
    right: bool | None
    notes: Sequence[str]
    title: str
    chosen: bool


@dataclass(frozen=True)
class Group:
    """Pictures that belong together, under a title if they have one."""

    tiles: Sequence[Tile]
    title: str = ""
    lead: str = ""


def sheet(
    groups: Sequence[Group],
    label: str,
    on_pick: Callable[[int], None],
    *,
    key: str,
    shown_in: str,
    pairs: bool = False,
) -> None:
    """Show groups of pictures; ``on_pick`` is told the number of one that is clicked.

    Args:
        groups: of pictures.
        label: of the whole, for a screen reader.
        on_pick: gets a number that may be anything a browser sends, but a whole one.
        key: of the sheet, unique on the page.
        shown_in: key of the container that shows what was picked; phones scroll to it.
        pairs: two groups beside each other where there is room.
    """

    def picked() -> None:
        number = st.session_state[key].picked
        if isinstance(number, int):
            on_pick(number)

    _mount(
        key=key,
        data={
            "label": label,
            "pairs": pairs,
            "shown_in": shown_in,
            "groups": [asdict(group) for group in groups],
        },
        on_picked_change=picked,
    )
