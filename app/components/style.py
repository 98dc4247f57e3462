"""The look of our own HTML, loaded once per page."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import streamlit as st

from app.components.pictures import Picture, data_uri

_SHEET = Path(__file__).parent / "style.css"


def style() -> None:
    """Put the style sheet on the page."""
    st.html(_SHEET)


def heading(title: str, lead: str) -> None:
    """Show a page's title and, beside it, one sentence on what it is for. Neither is a user's."""
    st.html(f'<header class="ee-heading"><h1>{title}</h1><p>{lead}</p></header>')


def section(title: str, lead: str = "") -> str:
    """Return the title of a part of a page, with a sentence on how to read it."""
    return f'<div class="ee-section"><h2>{title}</h2><p>{lead}</p></div>'


def picture_card(picture: Picture, classes: Sequence[str]) -> None:
    """Show the image as the network reads it, with its name and what is known about it."""
    truth = "" if picture.label is None else f"<b>{escape(classes[picture.label])}</b><br>"
    notes = "".join(f"<br>{escape(note)}" for note in picture.notes)
    height, width = picture.pixels.shape[:2]
    warning = f'<p class="ee-warning">⚠ {escape(picture.warning)}</p>' if picture.warning else ""
    st.html(
        f'<figure class="ee-input"><img src="{data_uri(picture.pixels)}" '
        f'alt="The image, {width} by {height} pixels, as the network reads it">'
        f"<figcaption>{truth}{escape(picture.name)}{notes}"
        f"</figcaption>{warning}</figure>"
    )
