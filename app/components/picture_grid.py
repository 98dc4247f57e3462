"""Pictures in groups, with captions: each a button that reports its number."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.components.mount import component

_show = component("picture_grid")


@dataclass(frozen=True)
class Tile:
    """One picture with its caption.

    Attributes:
        number: what it reports when it is picked.
        image: its URI; without one its class stands in its place.
        title: all of it in one sentence, for those who point at it or cannot see it.
        chosen: whether it is the open one.
        answer: the class that was answered.
        truth: the class it is; "" where unknown.
        right: whether they agree, or None.
        notes: further lines.
    """

    number: int
    image: str | None
    title: str
    chosen: bool
    answer: str = ""
    truth: str = ""
    right: bool | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Group:
    """Pictures that belong together, under a title if they have one."""

    tiles: Sequence[Tile]
    title: str = ""
    lead: str = ""


def picture_grid(
    groups: Sequence[Group],
    label: str,
    on_pick: Callable[[int], None],
    *,
    key: str,
    shown_in: str = "",
    layout: Literal["grid", "pairs", "strip"] = "grid",
) -> None:
    """Show groups of pictures; ``on_pick`` is told the number of one that is clicked.

    Args:
        groups: of pictures.
        label: of the whole, for a screen reader.
        on_pick: gets a number that may be anything a browser sends, but a whole one.
        key: of the grid, unique on the page.
        shown_in: key of the container that shows what was picked; phones scroll to it.
        layout: "pairs" puts two groups beside each other where there is room, "strip" shows small
            pictures without captions.
    """

    def picked(number: Any) -> None:
        if isinstance(number, int):
            on_pick(number)

    data = {
        "label": label,
        "layout": layout,
        "shown_in": shown_in,
        "groups": [asdict(group) for group in groups],
    }
    _show(key, data, picked=picked)
