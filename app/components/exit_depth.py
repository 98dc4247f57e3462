"""What goes along with leaving late: properties of the pictures, classes, wrong last exits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.charts import plotly
from app.charts.depth import effects_chart
from app.components.html import section
from app.components.sample_filters import FILTERS, choose
from app.components.widgets import bound, save_button
from app.sample_sources import SampleSource
from app.session import latest
from core.analysis.depth import Effect, effects
from core.analysis.properties import PROPERTIES, measured
from core.exits.routing import Routing
from core.exits.table import FloatArray, IntArray
from core.foundation.files import csv_text
from core.hub.card import Card

MOST_PICTURES, MOST_PIXELS = 2000, 2**25
"""Pictures that are measured, and their pixels together."""
FEWEST = 10
"""Images of a class of which something is said."""
MOST_CLASSES = 6
SHOWN = 6
_WRONG = "last-wrong"
_CLASS = "class:"


def depth_section(
    card: Card,
    source: SampleSource,
    routing: Routing,
    show: Callable[[list[tuple[str, IntArray]], str], None],
) -> None:
    """Show what goes along with leaving late, and the pictures that have least and most of it.

    Args:
        card: of the model.
        source: of the samples.
        routing: of them.
        show: shows samples by their positions, in groups with titles, under a label.
    """
    st.html(
        section(
            "What goes along with leaving late",
            "Of two images that leave at different exits, how much more often does the later one "
            "have more of it? +1: always; 0: as often more as less; −1: never. The lines are "
            "95 % confidence intervals that hold for all rows together. That both go together "
            "does not say that one makes the other.",
        )
    )
    if len(np.unique(routing.exits)) < 2:
        st.info(
            "All images leave at the same exit: with other thresholds, some leave earlier.",
            icon=":material/tune:",
        )
        return
    pictures = _measured(card, source)
    key = (card.sha256, source.name, len(source.table), routing.policy)
    rows = latest("depth-effects", key, lambda: _rows(card, source, routing, pictures))
    titles = {one.name: _title(card, one.name) for one in rows}
    plotly.show(
        effects_chart([(titles[one.name], one) for one in rows]),
        "depth",
        "How strongly properties of the images go along with leaving late",
    )
    _below(card, source, pictures, rows, titles)
    chosen = _choice(rows, titles, pictures)
    groups = _groups(chosen, routing, pictures)
    show(groups, f"Pictures by {titles[chosen]}")


@dataclass(frozen=True, eq=False)
class _Pictures:
    """Positions of the pictures that were measured, and by name what was found of each."""

    positions: IntArray
    properties: dict[str, FloatArray]


def _measured(card: Card, source: SampleSource) -> _Pictures:
    if source.images is None:
        return _Pictures(np.empty(0, np.int64), {})
    size = card.spec.image_size**2
    count = min(len(source.table), MOST_PICTURES, max(MOST_PIXELS // size, 1))
    positions = np.linspace(0, len(source.table) - 1, count).astype(np.int64)

    def measure() -> dict[str, FloatArray]:
        pictures = [source.picture(position) for position in positions.tolist()]
        return measured(np.stack([one for one in pictures if one is not None]))

    key = (card.sha256, source.name, len(source.table), source.names)
    return _Pictures(positions, latest("picture-properties", key, measure))


def _rows(card: Card, source: SampleSource, routing: Routing, pictures: _Pictures) -> list[Effect]:
    """Return the effects of all properties, and of the classes that stand out most."""
    table = routing.table
    everywhere: dict[str, NDArray[np.generic]] = {}
    if source.labelled:
        known = table.labelled
        everywhere[_WRONG] = known & ~table.right[:, -1]
        counts = np.bincount(table.labels[known], minlength=len(card.classes))
        for label in np.flatnonzero(counts >= FEWEST).tolist():
            everywhere[f"{_CLASS}{label}"] = table.labels == label
    of_all = effects(routing.exits, everywhere)
    classes = [one for one in of_all if one.name.startswith(_CLASS)][:MOST_CLASSES]
    rest = [one for one in of_all if one.name == _WRONG]
    of_pictures = effects(routing.exits[pictures.positions], pictures.properties)
    return sorted([*of_pictures, *rest, *classes], key=lambda one: -abs(one.value))


def _title(card: Card, name: str) -> str:
    if name == _WRONG:
        return "Even the last exit is wrong"
    if name.startswith(_CLASS):
        return f"Class {card.classes[int(name.removeprefix(_CLASS))]}"
    return PROPERTIES[name].title


def _below(
    card: Card,
    source: SampleSource,
    pictures: _Pictures,
    rows: list[Effect],
    titles: dict[str, str],
) -> None:
    told = "The pictures are not at hand, so only classes and answers are compared."
    if pictures.properties:
        told = f"Measured: {len(pictures.positions):,} of {len(source.table):,} pictures."
    if any(one.name.startswith(_CLASS) for one in rows):
        told += f" Of the classes, the {MOST_CLASSES} that stand out most."
    columns = (
        [titles[one.name] for one in rows],
        *([f"{getattr(one, field):.4f}" for one in rows] for field in ("value", "low", "high")),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(told)
        save_button(
            "Save as CSV",
            csv_text(("what", "somers_d", "low", "high"), columns),
            f"{card.name}-{source.name}-leaving-late.csv",
            help="Every row of the figure with its interval.",
        )


def _choice(rows: list[Effect], titles: dict[str, str], pictures: _Pictures) -> str:
    names = [one.name for one in rows]
    chosen = FILTERS.now.why if FILTERS.now.why in names else names[0]
    bound(
        st.selectbox,
        "Pictures that have least and most of",
        names,
        key="why",
        value=chosen,
        choose=lambda name: choose(why=name),
        format_func=titles.__getitem__,
        help=" ".join(
            f"**{PROPERTIES[name].title}**: {PROPERTIES[name].description}"
            for name in pictures.properties
        )
        or "The images of a class, the first to leave and the last.",
    )
    return chosen


def _groups(chosen: str, routing: Routing, pictures: _Pictures) -> list[tuple[str, IntArray]]:
    """Return the positions of the pictures at both ends, with titles."""
    table, ends = routing.table, ("Least", "Most")
    if chosen in pictures.properties:
        by, members = pictures.properties[chosen], pictures.positions
    else:
        wrong = table.labelled & ~table.right[:, -1]
        inside = wrong if chosen == _WRONG else table.labels == int(chosen.removeprefix(_CLASS))
        members, ends = np.flatnonzero(inside).astype(np.int64), ("First to leave", "Last to leave")
        by = routing.exits[members].astype(np.float32)
    order = members[np.argsort(by, kind="stable")]
    few = min(SHOWN, len(order) // 2)
    return [
        (ends[0], order[: len(order) - few][:SHOWN]),
        (ends[1], order[len(order) - few :][::-1]),
    ]
