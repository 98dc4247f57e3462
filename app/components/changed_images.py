"""The images that change between two configurations: listed, filtered, saved, and opened."""

from dataclasses import dataclass
from typing import Any, cast

import streamlit as st

from app import text
from app.components.answer_pairs import Answer, Letter, Pair, answer_pairs
from app.components.html import section
from app.components.model_choice import Configuration
from app.components.pictures import thumbnail
from app.components.widgets import bound, page_turner, save_button
from app.sample_sources import SampleSource, split_source
from app.state import Settings, choice, parameter, whole
from core.analysis.compare import CHANGES, ORDERS, Change, Comparison, Order, to_csv
from core.analysis.samples import page_of
from core.exits.routing import Routing

ON_A_PAGE = 20
_PICKED = "changed-picked"
_ALL = "all"
_TITLES = {
    "to_wrong": "A right → B wrong",
    "to_right": "A wrong → B right",
    "other_answer": "Both wrong, other answer",
    "other_exit": "Only another exit",
}
_ORDERS = {
    "surest": "By kind, B surest first",
    "least_sure": "By kind, B least sure first",
    "compute": "Most compute between A and B first",
    "data": "As in the data",
}


@dataclass(frozen=True)
class Listing:
    """What the list shows.

    Attributes:
        kind: one of `core.analysis.compare.CHANGES`, or "" for all.
        order: one of `core.analysis.compare.ORDERS`.
        page: counted from 1.
    """

    kind: str = parameter("change", "", choice(CHANGES))
    order: str = parameter("change-order", ORDERS[0], choice(ORDERS))
    page: int = parameter("change-page", 1, whole(1))


LISTING = Settings("listing", Listing)


def _choose(**changes: Any) -> None:
    LISTING.change(**{"page": 1, **changes})


def picked(a: Configuration, b: Configuration) -> tuple[Configuration, SampleSource, int] | None:
    """Return what was just clicked: the side, with the source and position of the image."""
    if _PICKED not in st.session_state:
        return None
    position, letter = st.session_state.pop(_PICKED)
    side = a if letter == "a" else b
    source, _ = split_source(side.view.model, side.card)
    if not 0 <= position < len(source.table) or source.picture(position) is None:
        return None
    return side, source, position


def changed_images(a: Configuration, b: Configuration, comparison: Comparison) -> None:
    """Show the list."""
    if not comparison.count():
        st.html(section("The images that change"))
        st.info(
            "None does: A and B give every image the same answer"
            + (
                " at the same exit."
                if comparison.same_exits
                else ". Their exits are not the same ones, so they are not compared."
            ),
            icon=":material/equal:",
        )
        return
    now = LISTING.now
    kind = cast(Change, now.kind) if now.kind else None
    if not comparison.count(kind):
        kind = None
    plain_macs = (a.card.plain_macs, b.card.plain_macs)
    positions = comparison.changed(kind, cast(Order, now.order), plain_macs)
    source, missing = split_source(a.view.model, a.card)
    opens = source.picture(0) is not None
    st.html(
        section(
            "The images that change",
            "Click an answer of A or B to open the image in the Playground with that network."
            if opens
            else "",
        )
    )
    if missing:
        st.info(missing, icon=":material/photo_library:")
    _kind_choice(comparison, kind)
    shown, number, pages = page_of(positions, now.page - 1, ON_A_PAGE)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        bound(
            st.selectbox,
            "Order",
            ORDERS,
            key="change-order",
            value=now.order,
            choose=lambda order: _choose(order=order),
            format_func=_ORDERS.__getitem__,
            width=320,
            help="How sure: the probability of the answer at the exit that gives it. The surest "
            "mistakes tell most about what went wrong.",
        )
        save_button(
            "Save as CSV",
            to_csv(comparison, positions),
            f"{a.card.name}-against-{b.card.name}.csv",
            help=f"These {text.plural(len(positions), 'image')}, all pages: id, label, kind of "
            "change, and exit, answer, right and probability of both.",
        )
        st.markdown(text.plural(len(positions), "image"), width="content")
    answer_pairs(
        [_pair(comparison, source, position) for position in shown.tolist()],
        "Images that change from A to B",
        _pick if opens else None,
        key="changed",
    )
    page_turner(number, pages, lambda page: _choose(page=page), key="change-page")


def _pick(position: int, letter: Letter) -> None:
    st.session_state[_PICKED] = (position, letter)


def _kind_choice(comparison: Comparison, kind: Change | None) -> None:
    counts = {_ALL: comparison.count()} | {one: comparison.count(one) for one in CHANGES}
    titles = {_ALL: "All"} | _TITLES
    bound(
        st.pills,
        "From A to B",
        [name for name, count in counts.items() if count],
        key="change",
        value=kind or _ALL,
        choose=lambda name: _choose(kind="" if name == _ALL else name),
        required=True,
        format_func=lambda name: f"{titles[name]}: {counts[name]:,}",
        help="An image is counted once. **Only another exit**: both give the same answer.",
    )


def _pair(comparison: Comparison, source: SampleSource, position: int) -> Pair:
    table, change = comparison.a.table, comparison.change(position)
    label, pixels = int(table.labels[position]), source.picture(position)
    return Pair(
        number=position,
        image=None if pixels is None else thumbnail(pixels),
        name=source.called(position),
        truth=table.classes[label] if label >= 0 else "",
        a=_answer(comparison.a, position),
        b=_answer(comparison.b, position),
        change="" if change is None else _TITLES[change],
    )


def _answer(routing: Routing, position: int) -> Answer:
    table = routing.table
    return Answer(
        exit=text.exit_name(int(routing.exits[position]), table.num_exits),
        answer=table.classes[routing.answers[position]],
        right=bool(routing.right[position]) if table.labels[position] >= 0 else None,
        probability=text.percent(float(routing.probabilities[position])),
    )
