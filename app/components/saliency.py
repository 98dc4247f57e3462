"""Exit by exit, side by side: where it looked in an image, and what else it considered."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import resources, text
from app.components.pictures import data_uri, heat_map
from app.saliency_maps import Map, SaliencyMaps
from core.exits.table import ExitTable
from core.hub.card import Card

SOON = 0.25
"""Seconds in which quick methods have all maps: then the page comes with them."""
EVERY = 0.3  # seconds between two looks at maps that take longer


def exit_by_exit(
    card: Card,
    model: str,
    pixels: NDArray[np.uint8],
    table: ExitTable,
    position: int,
    method: str,
    *,
    left_at: int,
    strength: float,
) -> None:
    """Show where every exit of a model looked in an image: each map as soon as it is there.

    Args:
        card: of the model.
        model: its name.
        pixels: (H, W, C).
        table: with all classes, of this image and perhaps of others.
        position: of the image in it.
        method: of saliency.
        left_at: the exit where the image leaves.
        strength: of the maps over the image, in [0, 1].
    """
    answers = table.answers[position].tolist()
    maps = resources.saliency_maps(model, pixels, answers, method)
    maps.job.wait(SOON)
    classes = [card.classes[answer] for answer in answers]
    if maps.job.running:
        st.fragment(_grow, run_every=EVERY)(maps, pixels, classes, left_at, strength)
    else:
        _show(maps, pixels, classes, left_at, strength)


def _grow(maps: SaliencyMaps, *shown: Any) -> None:
    if not maps.job.running:
        st.rerun()
    _show(maps, *shown)


def _show(
    maps: SaliencyMaps,
    pixels: NDArray[np.uint8],
    classes: Sequence[str],
    left_at: int,
    strength: float,
) -> None:
    if maps.job.mistake:
        st.error(maps.job.mistake, icon=":material/error:")
    names = text.exit_names(len(classes))
    image = f'<img src="{data_uri(pixels)}" alt="">'
    found = dict(maps.found)  # the job goes on
    figures = "".join(
        f'<figure class="{_reached(index, left_at)}"><div class="ee-picture">{image}'
        f"{_veil(found.get(index), name, answer, maps.job.running)}</div>"
        f"<figcaption><b>{name}</b> for “{escape(answer)}”</figcaption></figure>"
        for index, (name, answer) in enumerate(zip(names, classes, strict=True))
    )
    style = f"--exits:{len(classes)};--strength:{strength}"
    st.html(f'<div class="ee-looks" style="{style}">{figures}</div>')


def _veil(relevance: Map | None, name: str, answer: str, running: bool) -> str:
    """Return what lies on the picture: the map, or a word that it is not there yet."""
    if relevance is None:
        return '<span class="ee-pending">being computed …</span>' if running else ""
    return (
        f'<img class="ee-veil" src="{data_uri(heat_map(relevance))}" alt="Where {name} looked to '
        f'answer {escape(answer)}: brighter parts spoke for it more.">'
    )


def _reached(index: int, left_at: int) -> str:
    return "" if index <= left_at else "ee-unreached"


def show_top_classes(
    card: Card, table: ExitTable, position: int, *, top: int, left_at: int
) -> None:
    """Show the likeliest classes of every exit, best first; the other arguments as above."""
    columns = []
    for index, name in enumerate(text.exit_names(card.num_exits)):
        probabilities = table.probabilities[position, index]
        likeliest = (-probabilities).argsort(kind="stable")[:top]
        rows = "".join(
            f'<tr><th scope="row">{escape(card.classes[label])}</th><td><div class="ee-bar">'
            f'<div style="width:{probabilities[label]:.3%}"></div></div></td>'
            f"<td>{text.percent(float(probabilities[label]))}</td></tr>"
            for label in likeliest
        )
        columns.append(
            f'<table class="ee-top {_reached(index, left_at)}"><caption>{name}</caption>'
            f"{rows}</table>"
        )
    st.html(f'<div class="ee-tops" style="--exits:{card.num_exits}">{"".join(columns)}</div>')
