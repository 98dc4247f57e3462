"""Large numbers with their units."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st


@dataclass(frozen=True)
class Reading:
    """One number: what it is, its value, and a line that puts it in proportion."""

    title: str
    value: str
    note: str = ""
    strong: bool = False
    tone: str = ""
    """"right" or "wrong" colours the note, which says the same in words."""


def readout(readings: Sequence[Reading], key: str) -> None:
    """Show readings side by side."""
    st.html(
        f'<dl class="ee-readout" data-readout="{escape(key)}">'
        + "".join(_reading(reading) for reading in readings)
        + "</dl>"
    )


def _reading(reading: Reading) -> str:
    strong = " ee-strong" if reading.strong else ""
    tone = f" ee-{reading.tone}" if reading.tone else ""
    return (
        f'<div class="ee-reading{strong}"><dt>{escape(reading.title)}</dt>'
        f"<dd>{escape(reading.value)}</dd>"
        f'<dd class="ee-note{tone}">{escape(reading.note)}</dd></div>'
    )
