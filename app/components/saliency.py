"""Exit by exit, side by side: where it looked in an image, and what else it considered."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import resources, text
from app.components.pictures import data_uri, heat_map
from core.exits.table import ExitTable
from core.hub.card import Card


@dataclass(frozen=True)
class ExitMap:
    """What one exit looked at in an image.

    Attributes:
        image: URI of the picture.
        heat_map: URI of the coloured map that lies on it.
        answer: the class the map speaks for.
        top: the likeliest classes with their probabilities, best first.
        reached: whether the image got this far.
    """

    name: str
    image: str
    heat_map: str
    answer: str
    top: Sequence[tuple[str, float]]
    reached: bool


def exit_maps(
    card: Card,
    model: str,
    pixels: NDArray[np.uint8],
    table: ExitTable,
    position: int,
    method: str,
    *,
    top: int,
    left_at: int,
) -> list[ExitMap]:
    """Return what every exit of a model looked at in an image.

    Args:
        card: of the model.
        model: its name.
        pixels: (H, W, C).
        table: with all classes, of this image and perhaps of others.
        position: of the image in it.
        method: of saliency.
        top: how many classes are listed.
        left_at: the exit where the image leaves.
    """
    image = data_uri(pixels)
    items = []
    for index, name in enumerate(text.exit_names(card.num_exits)):
        answer = int(table.answers[position, index])
        probabilities = table.probabilities[position, index]
        likeliest = (-probabilities).argsort(kind="stable")[:top]
        relevance = resources.saliency_map(model, pixels, index, answer, method)
        items.append(
            ExitMap(
                name=name,
                image=image,
                heat_map=data_uri(heat_map(relevance)),
                answer=card.classes[answer],
                top=[(card.classes[label], float(probabilities[label])) for label in likeliest],
                reached=index <= left_at,
            )
        )
    return items


def show_maps(items: Sequence[ExitMap], strength: float) -> None:
    """Show where every exit looked; ``strength`` in [0, 1] of the maps."""
    figures = "".join(
        f'<figure class="{"" if item.reached else "ee-unreached"}"><div class="ee-picture">'
        f'<img src="{item.image}" alt="">'
        f'<img class="ee-veil" src="{item.heat_map}" alt="Where {item.name} looked to answer '
        f'{escape(item.answer)}: brighter parts spoke for it more."></div>'
        f"<figcaption><b>{item.name}</b> for “{escape(item.answer)}”</figcaption></figure>"
        for item in items
    )
    style = f"--exits:{len(items)};--strength:{strength}"
    st.html(f'<div class="ee-looks" style="{style}">{figures}</div>')


def show_top_classes(items: Sequence[ExitMap]) -> None:
    """Show the likeliest classes of every exit."""
    columns = "".join(map(_column, items))
    st.html(f'<div class="ee-tops" style="--exits:{len(items)}">{columns}</div>')


def _column(item: ExitMap) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><div class="ee-bar">'
        f'<div style="width:{probability:.3%}"></div></div></td>'
        f"<td>{text.percent(probability)}</td></tr>"
        for name, probability in item.top
    )
    unreached = "" if item.reached else " ee-unreached"
    return f'<table class="ee-top{unreached}"><caption>{item.name}</caption>{rows}</table>'
