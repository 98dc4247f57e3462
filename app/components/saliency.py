"""Beneath the ladder, exit by exit: where it looked and what else it considered."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

from app import text


@dataclass(frozen=True)
class Look:
    """What one exit saw.

    Attributes:
        image: URI of the picture.
        veil: URI of the coloured map that lies on it.
        answer: the class the map speaks for.
        top: the likeliest classes with their probabilities, best first.
        reached: whether the image got this far.
    """

    name: str
    image: str
    veil: str
    answer: str
    top: Sequence[tuple[str, float]]
    reached: bool


def looks(items: Sequence[Look], strength: float) -> None:
    """Show where every exit looked, side by side; ``strength`` in [0, 1] of the maps."""
    figures = "".join(
        f'<figure class="{"" if item.reached else "ee-unreached"}"><div class="ee-picture">'
        f'<img src="{item.image}" alt="">'
        f'<img class="ee-veil" src="{item.veil}" alt="Where {item.name} looked to answer '
        f'{escape(item.answer)}: brighter parts spoke for it more."></div>'
        f"<figcaption><b>{item.name}</b> for “{escape(item.answer)}”</figcaption></figure>"
        for item in items
    )
    style = f"--exits:{len(items)};--strength:{strength}"
    st.html(f'<div class="ee-looks" style="{style}">{figures}</div>')


def top_classes(items: Sequence[Look]) -> None:
    """Show the likeliest classes of every exit, side by side."""
    columns = "".join(_column(item) for item in items)
    st.html(f'<div class="ee-tops" style="--exits:{len(items)}">{columns}</div>')


def _column(item: Look) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><div class="ee-bar">'
        f'<div style="width:{probability:.3%}"></div></div></td>'
        f"<td>{text.percent(probability)}</td></tr>"
        for name, probability in item.top
    )
    unreached = "" if item.reached else " ee-unreached"
    return f'<table class="ee-top{unreached}"><caption>{item.name}</caption>{rows}</table>'
