"""Exit by exit, side by side: where it looked in an image, and what else it considered."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import resources, text
from app.components.errors import show_mistake
from app.components.mount import component
from app.components.pictures import HEAT, data_uri, exact_uri, stamp
from app.components.save_chart import save_chart
from app.saliency_maps import Map, SaliencyMaps
from core.exits.table import ExitTable
from core.hub.card import Card

SOON = 0.25
"""Seconds in which quick methods have all maps: then the page comes with them."""
EVERY = 0.3  # seconds between two looks at maps that take longer
WORDS = {
    "view": "Show",
    "views": [
        ["heat", "Heat map", "Colours over the picture: the brighter, the more spoke for it."],
        ["contour", "Contours", "Lines around what reached 30 % and 70 % of the scale."],
        ["wipe", "Wipe", "The picture as it is to the left of a line, the map to its right."],
    ],
    "scale": "Scale",
    "scales": [
        ["shared", "shared", "One for all exits: an exit with a faint map found little."],
        ["own", "each its own", "The largest value of each map is 100 %."],
    ],
    "strength": "Strength",
    "wipe": "Line at",
    "share": "reaches {share} % of the scale",
    "pending": "being computed …",
    "stale": "Maps of the method before; those of the new one are being computed …",
    "empty": "nothing speaks for it",
    "failed": "could not be computed",
    "enlarge": "Enlarge",
    "previous": "Previous exit",
    "next": "Next exit",
    "close": "Close",
}
_show_maps = component("maps")


@dataclass(frozen=True)
class _Shown:
    """What does not change while maps come in."""

    maps: SaliencyMaps
    image: str
    answers: Sequence[str]
    left_at: int
    tools: bool


def exit_by_exit(
    card: Card,
    model: str,
    pixels: NDArray[np.uint8],
    table: ExitTable,
    position: int,
    method: str,
    *,
    left_at: int,
    tools: bool = True,
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
        tools: whether to offer other views and scales.
    """
    from core.analysis.saliency import SALIENCY  # brings torch and captum, see the Playground

    answers = table.answers[position].tolist()
    maps = resources.saliency_maps(model, pixels, answers, method)
    maps.job.wait(SOON)
    names = [card.classes[answer] for answer in answers]
    shown = _Shown(maps, data_uri(pixels), names, left_at, tools)
    if maps.job.running:
        st.fragment(_grow, run_every=EVERY)(shown)
    else:
        _show(shown)
    save_chart(
        ".maps .figures",
        f"{card.title}: where each exit looked ({SALIENCY[method].title})",
        "saliency",
        csv="",
    )


def _grow(shown: _Shown) -> None:
    done = not shown.maps.job.running
    _show(shown)
    if done:
        st.rerun()


def _show(shown: _Shown) -> None:
    job = shown.maps.job
    if job.mistake:
        show_mistake(job.mistake)
    found = dict(shown.maps.found)  # the job goes on
    names = text.exit_names(len(shown.answers))
    maps = [
        {
            "name": name,
            "answer": answer,
            "alt": f"Where {name} looked to answer {answer}: brighter parts spoke for it more.",
            "reached": index <= shown.left_at,
            **_grey(found.get(index)),
        }
        for index, (name, answer) in enumerate(zip(names, shown.answers, strict=True))
    ]
    data = {"image": shown.image, "maps": maps, "running": job.running, "tools": shown.tools}
    _show_maps("maps", data | {"heat": HEAT, "words": WORDS})


def _grey(relevance: Map | None) -> dict[str, Any]:
    """Return a map as a grey picture, white where it is largest, and how large it is there."""
    if relevance is None:
        return {"map": None, "peak": 0}
    peak = float(relevance.max())
    grey = np.round(255 * relevance / (peak or 1)).astype(np.uint8)
    return {"map": exact_uri(grey[:, :, None]), "peak": peak}


def show_top_classes(
    card: Card, table: ExitTable, position: int, *, top: int, left_at: int
) -> None:
    """Show the likeliest classes of every exit, best first; the other arguments as above."""
    columns = []
    examples = _examples(card)
    blank = '<i class="ee-no-example"></i>' if examples else ""
    for index, name in enumerate(text.exit_names(card.num_exits)):
        probabilities = table.probabilities[position, index]
        likeliest = (-probabilities).argsort(kind="stable")[:top]
        rows = "".join(
            f'<tr><th scope="row">{examples.get(label, blank)}{escape(card.classes[label])}</th>'
            f'<td><div class="ee-bar"><div style="width:{probabilities[label]:.3%}"></div></div>'
            f"</td><td>{text.percent(float(probabilities[label]))}</td></tr>"
            for label in likeliest.tolist()
        )
        unreached = "" if index <= left_at else " ee-unreached"
        columns.append(f'<table class="ee-top{unreached}"><caption>{name}</caption>{rows}</table>')
    st.html(f'<div class="ee-tops" style="--exits:{card.num_exits}">{"".join(columns)}</div>')


def _examples(card: Card) -> dict[int, str]:
    """Return a picture of each class of which a sample ships."""
    samples = resources.samples(card)
    if samples is None or samples.classes != card.classes:
        return {}
    labels, first = np.unique(samples.labels, return_index=True)
    return {
        int(label): f'<img src="{stamp(samples.images[number])}" alt="">'
        for label, number in zip(labels, first, strict=True)
    }
