"""The images that change between two configurations: listed, filtered, saved, and opened."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import streamlit as st

from app import state, text
from app.components import picture_choice
from app.components.answer_pairs import Letter, Pair, Said, pairs
from app.components.pictures import data_uri
from app.components.saving import save_button
from app.components.style import section
from app.sample_sources import Album, test_album
from app.state import whole_of
from core.analysis.compare import CHANGES, ORDERS, Change, Comparison, Order, to_csv
from core.analysis.samples import page_of
from core.exits.routing import Routing
from core.hub.card import Card

ON_A_PAGE = 20
_LISTING, _PICKED = "changed-listing", "changed-picked"
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
    """What the list shows; like the rest of the view it is kept in session and URL.

    Attributes:
        kind: one of `core.analysis.compare.CHANGES`, or "" for all.
        order: one of `core.analysis.compare.ORDERS`.
        page: counted from 1.
    """

    kind: str = ""
    order: str = ORDERS[0]
    page: int = 1

    def to_query(self) -> dict[str, str]:
        """Return the URL parameters that `from_query` understands."""
        query = {"change": self.kind, "change-order": "", "change-page": ""}
        if self.order != ORDERS[0]:
            query["change-order"] = self.order
        if self.page > 1:
            query["change-page"] = str(self.page)
        return {name: value for name, value in query.items() if value}


def from_query(query: Mapping[str, str]) -> Listing:
    """Return what a URL describes; what is missing or wrong is left as it begins."""
    kind, order = query.get("change", ""), query.get("change-order", "")
    return Listing(
        kind if kind in CHANGES else "",
        order if order in ORDERS else ORDERS[0],
        max(whole_of(query.get("change-page", ""), 1), 1),
    )


def listing() -> Listing:
    """Return the session's choices, read from the URL when the session is new."""
    if _LISTING not in st.session_state:
        st.session_state[_LISTING] = from_query(st.query_params)
    current = st.session_state[_LISTING]
    assert isinstance(current, Listing)
    return current


def _list(**changes: Any) -> None:
    st.session_state[_LISTING] = replace(listing(), **{"page": 1, **changes})


@dataclass(frozen=True)
class Configuration:
    """A side of the comparison: the view that it is, and its model's card."""

    view: state.View
    card: Card


def picked(a: Configuration, b: Configuration) -> tuple[Configuration, Album, int] | None:
    """Return what was just clicked: the side, with the album and position of the image."""
    if _PICKED not in st.session_state:
        return None
    position, letter = st.session_state.pop(_PICKED)
    side = a if letter == "a" else b
    album, _ = test_album(side.view.model, side.card)
    if not 0 <= position < len(album.table) or album.picture(position) is None:
        return None
    return side, album, position


def open_in_playground(side: Configuration, album: Album, position: int) -> None:
    """Leave for the Playground, with this image and this side's model and policy."""
    state.choose(side.view)
    number, pixels = album.sample_number(position, side.card), album.picture(position)
    if number is not None:
        picture_choice.show_sample(number)
    elif pixels is not None:
        label = int(album.table.labels[position])
        picture_choice.show_image(album.called(position), pixels, label, side.card.dataset)
    state.choose_spoiler("", 0.0)
    from app.views import playground

    st.switch_page(st.Page(playground.page, title="Playground", default=True))


def changed_images(a: Configuration, b: Configuration, found: Comparison) -> None:
    """Show the list."""
    if not found.count():
        st.html(section("The images that change"))
        st.info(
            "None does: A and B give every image the same answer"
            + (
                " at the same exit."
                if found.same_exits
                else ". Their exits are not the same ones, so they are not compared."
            ),
            icon=":material/equal:",
        )
        return
    now = listing()
    kind = cast(Change, now.kind) if now.kind and found.count(cast(Change, now.kind)) else None
    order = cast(Order, now.order)
    positions = found.changed(kind, order, (a.card.plain_macs, b.card.plain_macs))
    album, missing = test_album(a.view.model, a.card)
    opens = album.picture(0) is not None
    st.html(
        section(
            "The images that change",
            "Click what A or B says to open the image in the Playground with that network."
            if opens
            else "",
        )
    )
    if missing:
        st.info(missing, icon=":material/photo_library:")
    _kinds(found, kind)
    shown, number, pages = page_of(positions, now.page - 1, ON_A_PAGE)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _order(order)
        save_button(
            "Save as CSV",
            to_csv(found, positions),
            f"{a.card.name}-against-{b.card.name}.csv",
            help=f"These {text.plural(len(positions), 'image')}, all pages: id, label, kind of "
            "change, and exit, answer, right and probability of both.",
        )
    pairs(
        [_pair(a, b, album, found, position) for position in shown.tolist()],
        "Images that change from A to B",
        _pick if opens else None,
        key="changed",
    )
    if pages > 1:
        _pages(number, pages, len(positions))


def _pick(position: int, letter: Letter) -> None:
    st.session_state[_PICKED] = (position, letter)


def _kinds(found: Comparison, kind: Change | None) -> None:
    def changed() -> None:
        chosen = st.session_state["change"]
        _list(kind="" if chosen == _ALL else chosen)

    counts = {_ALL: found.count()} | {one: found.count(one) for one in CHANGES}
    titles = {_ALL: "All"} | _TITLES
    st.session_state["change"] = kind or _ALL
    st.pills(
        "From A to B",
        [one for one, count in counts.items() if count],
        required=True,
        key="change",
        on_change=changed,
        format_func=lambda one: f"{titles[one]}: {counts[one]:,}",
        help="An image is counted once. **Only another exit**: both give the same answer.",
    )


def _order(order: Order) -> None:
    def changed() -> None:
        _list(order=st.session_state["change-order"])

    st.session_state["change-order"] = order
    st.selectbox(
        "Order",
        ORDERS,
        key="change-order",
        on_change=changed,
        format_func=_ORDERS.__getitem__,
        width=320,
        help="How sure: the probability of the answer at the exit that gives it. The surest "
        "mistakes tell most about what went wrong.",
    )


def _pages(number: int, pages: int, count: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        for title, icon, key, to, disabled in (
            ("Previous", "chevron_left", "change-before", number, number == 0),
            ("Next", "chevron_right", "change-after", number + 2, number == pages - 1),
        ):
            st.button(
                title,
                icon=f":material/{icon}:",
                icon_position="left" if to == number else "right",
                key=key,
                disabled=disabled,
                on_click=_list,
                kwargs={"page": to},
            )
        st.markdown(
            f"Page {number + 1:,} of {pages:,}, {text.plural(count, 'image')}", width="content"
        )


def _pair(
    a: Configuration, b: Configuration, album: Album, found: Comparison, position: int
) -> Pair:
    kind, label = found.change(position), int(found.a.table.labels[position])
    pixels = album.picture(position)
    return Pair(
        number=position,
        image=None if pixels is None else data_uri(pixels),
        name=album.called(position),
        truth=found.a.table.classes[label] if label >= 0 else "",
        a=_said(found.a, position),
        b=_said(found.b, position),
        change="" if kind is None else _TITLES[kind],
    )


def _said(side: Routing, position: int) -> Said:
    return Said(
        exit=text.exit_name(int(side.exits[position]), side.table.num_exits),
        answer=side.table.classes[side.answers[position]],
        right=bool(side.right[position]) if side.table.labels[position] >= 0 else None,
        probability=text.percent(float(side.probabilities[position])),
    )
