"""The look of our own HTML, loaded once per page."""

from pathlib import Path

import streamlit as st

_SHEET = Path(__file__).with_name("style.css")


def style() -> None:
    """Put the style sheet on the page."""
    st.html(_SHEET)


def heading(title: str, lead: str) -> None:
    """Show a page's title and, beside it, one sentence on what it is for. Neither is a user's."""
    st.html(f'<header class="ee-heading"><h1>{title}</h1><p>{lead}</p></header>')


def section(title: str, lead: str = "") -> None:
    """Show the title of a part of a page, with a sentence on how to read it."""
    st.html(f'<div class="ee-section"><h2>{title}</h2><p>{lead}</p></div>')
