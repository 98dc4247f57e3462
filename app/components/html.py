"""The HTML that pages are made of: headings, boxes, readings and tables, and the style of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import streamlit as st

from app import text
from core.foundation.costs import saved
from core.hub.card import Card


def style() -> None:
    """Put the style sheet on the page."""
    st.html(Path(__file__).with_name("style.css"))


def heading(title: str, lead: str) -> None:
    """Show a page's title and, beside it, one sentence on what it is for. Neither is a user's."""
    st.html(f'<header class="ee-heading"><h1>{title}</h1><p>{lead}</p></header>')


def section(title: str, lead: str = "") -> str:
    """Return the title of a part of a page, with a sentence on how to read it."""
    return f'<div class="ee-section"><h2>{title}</h2><p>{lead}</p></div>'


def box(title: str, body: str, icon: str, tone: str = "") -> str:
    """Return a framed paragraph. ``body`` is HTML of our own; ``tone`` "" or "warning"."""
    return (
        f'<aside class="ee-box" data-tone="{tone}"><b class="ee-box-icon">{icon}</b>'
        f"<div><h3>{escape(title)}</h3><p>{body}</p></div></aside>"
    )


def facts(items: Sequence[tuple[str, str]]) -> str:
    """Return what is known as pairs of a name and a value."""
    pairs = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in items
    )
    return f'<dl class="ee-facts">{pairs}</dl>'


@dataclass(frozen=True)
class Reading:
    """A large number: what it is, its value, and a line that puts it in proportion.

    Attributes:
        name: how `live.js` finds it.
        interval: the range that the true value lies in, small.
        tone: "right" or "wrong" colours the note, and "wrong" a strong number: words tell the same.
    """

    name: str
    title: str
    value: str
    note: str = ""
    strong: bool = False
    tone: str = ""
    interval: str = ""


def readings(items: Sequence[Reading]) -> str:
    """Return large numbers side by side."""
    return f'<dl class="ee-readout">{"".join(map(_reading, items))}</dl>'


def _reading(reading: Reading) -> str:
    strong = " ee-strong" if reading.strong else ""
    interval = f'<dd class="ee-range">{escape(reading.interval)}</dd>' if reading.interval else ""
    return (
        f'<div class="ee-reading{strong}" data-reading="{reading.name}">'
        f"<dt>{escape(reading.title)}</dt><dd>{escape(reading.value)}</dd>{interval}"
        f'<dd class="ee-note" data-tone="{reading.tone}">{escape(reading.note)}</dd></div>'
    )


def saving(
    card: Card, relative_cost: float, note: str, interval: tuple[float, float] | None = None
) -> Reading:
    """Return the compute saved at a relative cost.

    Args:
        card: of the model.
        relative_cost: in units of the plain network.
        note: with ``{spent}`` and ``{whole}``.
        interval: of the relative cost, if it is an estimate.
    """
    part = saved(relative_cost)
    spent, whole = text.macs(card.macs(relative_cost)), text.macs(card.plain_macs)
    title = text.SAVED if part >= 0 else text.EXTRA
    value = text.percent(abs(part))
    told = ""
    if interval is not None:
        low, high = map(saved, interval)
        told = text.interval((high, low) if part >= 0 else (-low, -high))
    note = note.format(spent=spent, whole=whole)
    tone = "" if part >= 0 else "wrong"
    return Reading("saved", title, value, note, strong=True, tone=tone, interval=told)


def why(summary: str, explanation: str) -> str:
    """Return a quiet line that opens an explanation; both are our own."""
    return (
        f'<details class="ee-why"><summary>{summary} <b>?</b></summary>'
        f"<p>{explanation}</p></details>"
    )


@dataclass(frozen=True)
class Cell:
    """HTML of our own in a table, with the attributes of its element."""

    html: str
    attributes: str = ""


@dataclass(frozen=True)
class Column:
    """A heading, and what it means for those who point at it."""

    title: str | Cell
    meaning: str = ""


@dataclass(frozen=True)
class Row:
    """Cells, of which the first is the row's title, and the attributes of the row."""

    cells: Sequence[str | Cell]
    attributes: str = ""


TOTAL = 'class="ee-total"'
"""Attributes of a row that sums up those above."""
BEST = 'class="ee-best"'
"""Attributes of the row that is recommended."""


def table(columns: Sequence[Column], rows: Sequence[Row], kind: str = "") -> str:
    """Return a table; texts are escaped. ``kind`` is a class of the style sheet."""
    head = "".join(
        _cell(column.title, "th", 'scope="col"', hint(column.meaning)) for column in columns
    )
    body = "".join(_row(row) for row in rows)
    return (
        f'<div class="ee-table {kind}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(row: Row) -> str:
    title, *others = row.cells
    cells = _cell(title, "th", 'scope="row"') + "".join(_cell(cell, "td") for cell in others)
    return f"<{_opening('tr', row.attributes)}>{cells}</tr>"


def _cell(cell: str | Cell, tag: str, *attributes: str) -> str:
    if isinstance(cell, str):
        cell = Cell(escape(cell))
    return f"<{_opening(tag, *attributes, cell.attributes)}>{cell.html}</{tag}>"


def _opening(*parts: str) -> str:
    return " ".join(filter(None, parts))


def hint(meaning: str) -> str:
    """Return the attribute that explains an element to those who point at it."""
    return f'title="{escape(meaning)}"' if meaning else ""
