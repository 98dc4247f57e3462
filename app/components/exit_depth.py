"""What goes along with leaving late: properties of the pictures, classes, doubtful labels."""

from collections.abc import Callable

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.charts import plotly
from app.charts.depth import effects_chart
from app.components.html import section
from app.components.picture_grid import Group, Tile, picture_grid
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
_SHOWN = 6
_WRONG = "last-wrong"
_CLASS = "class:"


def depth_section(
    card: Card,
    source: SampleSource,
    routing: Routing,
    tile: Callable[[int], Tile],
    opens: Callable[[int], None],
    shown_in: str,
) -> None:
    """Show what goes along with leaving late, and the pictures that have most and least of it.

    Args:
        card: of the model.
        source: of the samples.
        routing: of them.
        tile: shows a sample by its position.
        opens: is told the position of one that is clicked.
        shown_in: key of the container that a click fills.
    """
    st.html(
        section(
            "What goes along with leaving late",
            "Of two images that leave at different exits, how much more often does the later one "
            "have more of it? +1: always, 0: no more often than less, −1: never. The lines are "
            "95 % confidence intervals that hold for all rows together. It is not said that the "
            "one makes the other.",
        )
    )
    if len(np.unique(routing.exits)) < 2:
        st.info(
            "All images leave at the same exit: with other thresholds, some leave earlier.",
            icon=":material/tune:",
        )
        return
    positions, found = _measured(card, source)
    key = (card.sha256, source.name, len(source.table), routing.policy)
    rows = latest("depth-effects", key, lambda: _effects(card, source, routing, positions, found))
    titles = {one.name: _title(card, one.name) for one in rows}
    plotly.show(
        effects_chart([(titles[one.name], one) for one in rows]),
        "depth",
        "How strongly properties of the images go along with leaving late",
    )
    _note(source, positions, rows, titles, card)
    _look(rows, titles, found, positions, routing, tile, opens, shown_in)


def _measured(card: Card, source: SampleSource) -> tuple[IntArray, dict[str, FloatArray]]:
    """Return the positions of the pictures that were measured, and their properties."""
    if source.images is None:
        return np.empty(0, np.int64), {}
    size = card.spec.image_size**2
    count = min(len(source.table), MOST_PICTURES, max(MOST_PIXELS // size, 1))
    positions = np.linspace(0, len(source.table) - 1, count).astype(np.int64)

    def measure() -> dict[str, FloatArray]:
        pictures = [source.picture(position) for position in positions.tolist()]
        return measured(np.stack([one for one in pictures if one is not None]))

    key = (card.sha256, source.name, len(source.table), source.names)
    return positions, latest("picture-properties", key, measure)


def _effects(
    card: Card,
    source: SampleSource,
    routing: Routing,
    positions: IntArray,
    found: dict[str, FloatArray],
) -> list[Effect]:
    """Return the effects of the properties, and of the classes that stand out most."""
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
    of_pictures = effects(routing.exits[positions], found) if len(positions) else []
    rest = [one for one in of_all if one.name == _WRONG]
    return sorted([*of_pictures, *rest, *classes], key=lambda one: -abs(one.value))


def _title(card: Card, name: str) -> str:
    if name == _WRONG:
        return "Even the last exit is wrong"
    if name.startswith(_CLASS):
        return f"Class {card.classes[int(name.removeprefix(_CLASS))]}"
    return PROPERTIES[name].title


def _note(
    source: SampleSource,
    positions: IntArray,
    rows: list[Effect],
    titles: dict[str, str],
    card: Card,
) -> None:
    told = (
        f"Pictures measured: {len(positions):,} of {len(source.table):,}. "
        if len(positions)
        else "The pictures are not at hand, so only classes and answers are compared. "
    )
    if source.labelled:
        told += f"Of the classes, the {MOST_CLASSES} that stand out most are shown."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(told)
        columns = [
            [titles[one.name] for one in rows],
            *(
                [f"{value:.4f}" for value in ends]
                for ends in zip(*((one.value, one.low, one.high) for one in rows), strict=True)
            ),
        ]
        save_button(
            "Save as CSV",
            csv_text(("what", "somers_d", "low", "high"), columns),
            f"{card.name}-{source.name}-leaving-late.csv",
            help="Every row of the figure with its interval.",
        )


def _look(
    rows: list[Effect],
    titles: dict[str, str],
    found: dict[str, FloatArray],
    positions: IntArray,
    routing: Routing,
    tile: Callable[[int], Tile],
    opens: Callable[[int], None],
    shown_in: str,
) -> None:
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
            f"**{PROPERTIES[name].title}**: {PROPERTIES[name].description}" for name in found
        ),
    )
    if chosen in found:
        order = positions[np.argsort(found[chosen], kind="stable")]
        groups = [("Least", order[:_SHOWN]), ("Most", order[::-1][:_SHOWN])]
    else:
        table = routing.table
        inside = (
            table.labelled & ~table.right[:, -1]
            if chosen == _WRONG
            else table.labels == int(chosen.removeprefix(_CLASS))
        )
        members = np.flatnonzero(inside)
        order = members[np.argsort(routing.exits[members], kind="stable")]
        groups = [
            ("First to leave", order[:_SHOWN]),
            ("Last to leave", order[::-1][:_SHOWN][: max(len(order) - _SHOWN, 0)]),
        ]
    picture_grid(
        [
            Group([tile(position) for position in shown.tolist()], name)
            for name, shown in groups
            if len(shown)
        ],
        f"Pictures by {titles[chosen]}",
        opens,
        key="depth-pictures",
        shown_in=shown_in,
        layout="pairs",
    )
