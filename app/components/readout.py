"""Large numbers with their units."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app import text
from core.foundation.costs import saved
from core.hub.card import Card


@dataclass(frozen=True)
class Reading:
    """One number: what it is, its value, and a line that puts it in proportion.

    Attributes:
        name: how `live.js` finds it.
        tone: "right" or "wrong" colours the note, which says the same in words.
    """

    name: str
    title: str
    value: str
    note: str = ""
    strong: bool = False
    tone: str = ""


def saving(card: Card, relative_cost: float, note: str) -> Reading:
    """Return the compute saved at a relative cost; ``note`` has ``{spent}`` and ``{whole}``."""
    part = saved(relative_cost)
    spent, whole = text.macs(card.macs(relative_cost)), text.macs(card.plain_macs)
    title = text.SAVED if part >= 0 else text.EXTRA
    value = text.percent(abs(part))
    return Reading("saved", title, value, note.format(spent=spent, whole=whole), strong=True)


def readout(readings: Sequence[Reading]) -> str:
    """Return readings side by side."""
    return f'<dl class="ee-readout">{"".join(map(_reading, readings))}</dl>'


def _reading(reading: Reading) -> str:
    strong = " ee-strong" if reading.strong else ""
    return (
        f'<div class="ee-reading{strong}" data-reading="{reading.name}">'
        f"<dt>{escape(reading.title)}</dt><dd>{escape(reading.value)}</dd>"
        f'<dd class="ee-note" data-tone="{reading.tone}">{escape(reading.note)}</dd></div>'
    )


def standing(readings: Sequence[Reading]) -> str:
    """Return readings for a page on which nothing moves."""
    return f'<div class="ee-live">{readout(readings)}</div>'
