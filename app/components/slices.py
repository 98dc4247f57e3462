"""Slices of the images: selections kept by name, or the classes, each against the rest."""

import re
from collections.abc import Mapping
from html import escape

import streamlit as st

from app import text
from app.components.html import Cell, Column, Row, section, table
from app.components.sample_filters import FILTERS, SLICES, Filters, choose, show
from app.components.widgets import bound, save_button
from app.sample_sources import SampleSource
from app.session import kept, latest
from core.analysis.samples import Selection
from core.analysis.slices import Against, Slice, by_class, slices, to_csv
from core.exits.routing import Routing
from core.hub.card import Card

MOST_KEPT, MOST_LETTERS = 12, 40
MOST_SHOWN = 12
_TYPED = "slice-name"


def slices_section(card: Card, source: SampleSource, routing: Routing) -> None:
    """Show the slices, worst accuracy first, and keep or delete some.

    Args:
        card: of the model.
        source: of the samples.
        routing: of them.
    """
    st.html(
        section(
            "Slices",
            "Each against all other images, lowest accuracy first. *: beyond chance, with 95 % "
            "confidence in the whole table (Holm). Check a slice that you picked for its figures "
            "on other images.",
        )
    )
    mine = kept_slices()
    _keep(card, source, mine)
    kind = FILTERS.now.slices or ("kept" if mine else "class")
    bound(
        st.segmented_control,
        "Slices shown",
        list(SLICES),
        key="slices",
        value=kind,
        choose=lambda kind: choose(slices=kind),
        required=True,
        format_func=SLICES.__getitem__,
        label_visibility="collapsed",
    )
    if kind == "class":
        _figures(card, source, routing, by_class(routing), {})
        return
    if not mine:
        st.info("No slice is kept yet.", icon=":material/bookmark_add:")
        return
    _kept_row(card, source, mine)
    here = {name: one for name, one in mine.items() if one.fits(card, source.labelled)}
    if here:
        selections = {name: one.selection(card, source.labelled) for name, one in here.items()}
        told = {name: one.told(card.num_exits) for name, one in here.items()}
        _figures(card, source, routing, selections, told)
    if len(here) < len(mine):
        missing = ", ".join(_as_written(name) for name in mine if name not in here)
        st.caption(f"Not for this model or these images: {missing}.")


def kept_slices() -> dict[str, Filters]:
    """Return the slices that the session keeps, by name; filters, so that any model has them."""
    return kept("kept-slices", dict[str, Filters])


def slice_choice(card: Card, key: str) -> Filters | None:
    """Offer the kept slices of labelled images; return the chosen one, None for all images.

    Nothing is shown where there is none that the model has.

    Args:
        card: of the model that selects.
        key: of the widget, unique on the page.
    """
    here = {name: one for name, one in kept_slices().items() if one.fits(card, labelled=True)}
    if not here:
        return None
    name = st.selectbox(
        "Slice",
        [None, *here],
        key=key,
        format_func=lambda name: "All images" if name is None else name,
        help="All images, or those of a slice that was kept on the page Samples.",
    )
    return None if name is None else here[name]


def _keep(card: Card, source: SampleSource, mine: dict[str, Filters]) -> None:
    now = FILTERS.now.only_selecting(source.labelled)
    usual = now.told(card.num_exits)[:MOST_LETTERS]
    nothing = now == Filters() or not now.fits(card, source.labelled)
    full = len(mine) >= MOST_KEPT

    def keep() -> None:
        name = " ".join(st.session_state[_TYPED].split())[:MOST_LETTERS] or usual
        if name in mine or len(mine) < MOST_KEPT:
            mine[name] = now
            choose(slices="kept")

    why = (
        "Set a filter first: by exit, class, answer, flip or score."
        if nothing
        else f"At most {MOST_KEPT} slices are kept: delete one first."
        if full
        else "Its filters are kept until you close or reload the page, and apply to other models "
        "of the same data set, too. A name that is there already is replaced."
    )
    with (
        st.form("keep-slice", clear_on_submit=True, border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        st.text_input(
            "Name of a slice",
            key=_TYPED,
            max_chars=MOST_LETTERS,
            placeholder=usual,
            disabled=nothing,
            width=280,
        )
        st.form_submit_button(
            "Keep this selection",
            icon=":material/bookmark_add:",
            on_click=keep,
            disabled=nothing or full,
            help=why,
        )


def _kept_row(card: Card, source: SampleSource, mine: dict[str, Filters]) -> None:
    now = FILTERS.now.only_selecting(source.labelled)
    shown = next((name for name, one in mine.items() if one == now), None)

    def choose_slice(name: str | None) -> None:
        show(Filters() if name is None else mine[name])

    with st.container(horizontal=True, vertical_alignment="bottom"):
        bound(
            st.pills,
            "Show the images of",
            list(mine),
            key="kept-slice",
            value=shown,
            choose=choose_slice,
            format_func=_as_written,
            wrap=True,
        )
        if shown is not None:
            st.button(
                "Delete this slice",
                icon=":material/delete:",
                on_click=mine.__delitem__,
                args=(shown,),
                help="Its images stay selected.",
            )


def _as_written(name: str) -> str:
    """Return Markdown that shows a name letter by letter."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", name)


def _figures(
    card: Card,
    source: SampleSource,
    routing: Routing,
    selections: Mapping[str, Selection],
    told: Mapping[str, str],
) -> None:
    key = (card.sha256, source.name, len(source.table), source.names, routing.policy)
    found = latest(
        "slices-found", (*key, tuple(selections.items())), lambda: slices(routing, selections)
    )
    several, labelled = card.num_exits > 1, source.labelled
    columns = [Column("Slice"), Column("Images")]
    if labelled:
        columns += [
            Column("Accuracy"),
            Column("Against the rest", "Accuracy less that of all other images, in points."),
        ]
    if several:
        columns += [
            Column("Relative cost", "Mean, of the plain network's compute."),
            Column("Against the rest", "Relative cost less that of all other images, in points."),
            Column("Leaves at", "Share at each exit, the first one first."),
        ]
    rows = []
    for one in found[:MOST_SHOWN]:
        cells: list[str | Cell] = [_name(one, told.get(one.name, "")), f"{one.count:,}"]
        if labelled:
            cells += [text.percent(one.accuracy.value), _difference(one.accuracy)]
        if several:
            cells += [
                text.percent(one.relative_cost.value),
                _difference(one.relative_cost),
                _exits(one),
            ]
        rows.append(Row(cells))
    st.html(table(columns, rows, "ee-slices"))
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(found) > MOST_SHOWN:
            st.caption(f"The worst {MOST_SHOWN} of {len(found):,}; the file has all of them.")
        save_button(
            "Save as CSV",
            to_csv(found, card.num_exits),
            f"{card.name}-{source.name}-slices.csv",
            help="Every slice with its differences and corrected p-values.",
        )


def _name(one: Slice, told: str) -> Cell:
    small = f'<small class="ee-range">{escape(told)}</small>' if told not in ("", one.name) else ""
    return Cell(f"{escape(one.name)}{small}")


def _difference(against: Against) -> Cell:
    difference = text.apart(against.difference)
    if against.chosen:
        return Cell(f'{difference}<small class="ee-range">by its filters</small>')
    if against.certain:
        return Cell(f'<strong>{difference}</strong><i class="ee-star">*</i>')
    return Cell(f'{difference}<i class="ee-star"></i>')


def _exits(one: Slice) -> str:
    shares = [text.percent(share, 0) for share in one.exits]
    return " · ".join([*(share.removesuffix(text.UNIT) for share in shares[:-1]), shares[-1]])
