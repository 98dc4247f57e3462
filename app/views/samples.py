"""Samples: who leaves where, and why."""

import math
from html import escape

import streamlit as st

from app import state, wording
from app.albums import Album, albums
from app.browsing import RIGHT, WRONG, Browsing, browse, browsing, start_over
from app.components import controls, sources
from app.components.ladder import Rung, cards
from app.components.sheet import Group, Tile, sheet
from app.components.style import heading, section
from app.components.tally import Card as TallyCard
from app.components.tally import tally
from app.pictures import data_uri
from core.card import Card
from core.criteria import CRITERIA
from core.selection import (
    ORDERS,
    Routed,
    accuracy_of,
    exit_scores,
    extremes,
    leaving,
    likeliest,
    page_of,
    routed,
    select,
    to_csv,
)
from core.table import FloatArray, IntArray

ON_A_PAGE = 48
IN_A_ROW = 4
TOP = 3
_PANEL = "opened-sample"
_ANY = "any"
_ORDERS = {"data": "As in the data", "least_sure": "Least sure first", "most_sure": "Surest first"}
_FLIPS = {_ANY: "Any", "rescued": "Rescued", "ruined": "Ruined"}
_VERDICTS = {_ANY: "Any", RIGHT: "✓ Right", WRONG: "✗ Wrong"}


def page() -> None:
    """Show the page."""
    heading("Samples", "Who leaves where, and why: every image of a split, with its pictures.")
    card = controls.choices()
    view, now = state.view(), browsing()
    found, missing = albums(view.model, card)
    album = found.get(now.album) or next(iter(found.values()))
    if missing:
        st.info(missing, icon=":material/photo_library:")
    if len(found) > 1:
        _albums(found, album)
    samples = routed(album.table, view.policy)
    if card.num_exits > 1:
        _tally(card, samples, now)
    positions = select(samples, now.selection(card))
    _filters(card, view, now)
    grid, panel = st.columns([2.7, 1.15], gap="large")
    with grid:
        _found(card, album, samples, positions, now)
        _extremes(card, album, samples, now)
    with panel, st.container(key=_PANEL):
        _opened(card, view, album, samples, now)
    state.write_url(browsing().to_query())


def _albums(found: dict[str, Album], album: Album) -> None:
    def changed() -> None:
        browse(album=st.session_state["album"], opened=0, page=1)

    st.session_state["album"] = album.name
    st.segmented_control(
        "Images",
        list(found),
        required=True,
        key="album",
        on_change=changed,
        format_func=lambda name: f"{found[name].title} ({len(found[name].table):,})",
        help="The **test split** was never used to choose anything: its figures are the honest "
        "ones. The **shipped samples** come with the project, so their pictures are always there.",
    )


def _tally(card: Card, samples: Routed, now: Browsing) -> None:
    asked = now.selection(card).exit_index

    def pick(value: int) -> None:
        again = asked is not None and value == asked + 1
        browse(exit_number=0 if again else value)

    drawn = [
        TallyCard(
            value=0,
            name="All exits",
            count=f"{len(samples):,}",
            share="images",
            note=_right(accuracy_of(samples, select(samples, Browsing().selection(card)))),
            width=1.0,
            title="Show the images of all exits",
            chosen=asked is None,
        )
    ]
    for index, one in enumerate(leaving(samples)):
        name = wording.exit_name(index, card.num_exits)
        drawn.append(
            TallyCard(
                value=index + 1,
                name=name,
                count=f"{one.count:,}",
                share=wording.share(one.share),
                note=_right(one.accuracy) if one.count else "nobody leaves here",
                width=one.share,
                title=f"Show only the images that leave at {name}",
                chosen=asked == index,
            )
        )
    tally(drawn, "Exits: how many leave, and a filter", pick)


def _right(accuracy: float) -> str:
    if math.isnan(accuracy):
        return "right answers unknown"
    return f"{wording.percent(accuracy, 2)} of them right"


def _filters(card: Card, view: state.View, now: Browsing) -> None:
    label, verdict, flip, score, order = st.columns([1.1, 1.75, 1.95, 1.5, 1.25], gap="medium")
    with label:
        _class(card, now)
    with verdict:
        _choice(
            "Answer",
            "verdict",
            _VERDICTS,
            now.verdict,
            "Whether the answer at the exit where the image left is right.",
        )
    if card.num_exits > 1:
        with flip:
            _choice(
                "Flips",
                "flip",
                _FLIPS,
                now.flip,
                "**Rescued**: right early, while the last exit would have been wrong. **Ruined**: "
                "wrong early, while the last exit would have been right.",
            )
    with score:
        _scores(view, now)
    with order:
        _order(now)


def _class(card: Card, now: Browsing) -> None:
    everything = "All classes"

    def changed() -> None:
        chosen = st.session_state["class"]
        browse(label="" if chosen == everything else chosen)

    st.session_state["class"] = now.label if now.label in card.classes else everything
    st.selectbox(
        "Class",
        [everything, *card.classes],
        key="class",
        on_change=changed,
        help="What the image really shows, whatever the network answered.",
    )


def _choice(title: str, field: str, options: dict[str, str], value: str, help_: str) -> None:
    def changed() -> None:
        chosen = st.session_state[field]
        browse(**{field: "" if chosen == _ANY else chosen})

    st.session_state[field] = value or _ANY
    st.segmented_control(
        title,
        list(options),
        required=True,
        key=field,
        on_change=changed,
        format_func=options.__getitem__,
        help=help_,
    )


def _scores(view: state.View, now: Browsing) -> None:
    def changed() -> None:
        low, high = st.session_state["scores"]
        browse(low=low, high=high)

    criterion = CRITERIA[view.policy.criterion]
    last = (
        "At the final exit, where no score is asked for, it is the probability of the answer."
        if criterion.needs_confidence
        else "The final exit asks for none, but has one all the same."
    )
    st.session_state["scores"] = (now.low, now.high)
    st.slider(
        "Score where it left",
        0.0,
        1.0,
        step=0.01,
        key="scores",
        on_change=changed,
        help=f"{criterion.title} at the exit where the image left. {last}",
    )


def _order(now: Browsing) -> None:
    def changed() -> None:
        browse(order=st.session_state["order"])

    st.session_state["order"] = now.order
    st.selectbox(
        "Order",
        ORDERS,
        key="order",
        on_change=changed,
        format_func=_ORDERS.__getitem__,
        help="By the score at the exit where an image left, or as they come.",
    )


def _found(card: Card, album: Album, samples: Routed, positions: IntArray, now: Browsing) -> None:
    shown, number, pages = page_of(positions, now.page - 1, ON_A_PAGE)
    whole = now.selection(card).whole
    many = "All" if whole else f"{len(positions):,} of"
    mixed = len(positions) > 0 and not now.verdict and not now.flip
    lead = _right(accuracy_of(samples, positions)) if mixed else ""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.html(section(f"{many} {len(samples):,} images", lead))
        if not whole:
            st.button(
                "Clear the filters",
                icon=":material/filter_alt_off:",
                on_click=start_over,
                help="Show all images again, of every exit and class.",
            )
        if len(positions):
            st.download_button(
                "Save as CSV",
                lambda: to_csv(samples, positions),
                file_name=f"{card.name}-{album.name}.csv",
                mime="text/csv",
                icon=":material/download:",
                help=f"All {wording.plural(len(positions), 'image')} of this selection: id, label, "
                "answer, exit, score, cost, right, flip.",
            )
    if not len(positions):
        st.info("No image is like that. Widen a filter, or clear them.", icon=":material/search:")
        return
    tiles = [_tile(card, album, samples, position, now) for position in shown.tolist()]
    sheet([Group(tiles)], "Images of this selection", _open, key="selection", shown_in=_PANEL)
    if pages > 1:
        _pages(number, pages)


def _pages(number: int, pages: int) -> None:
    def typed() -> None:
        browse(page=st.session_state["page"])

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Previous",
            icon=":material/chevron_left:",
            key="page-before",
            disabled=number == 0,
            on_click=browse,
            kwargs={"page": number},
            help=f"The {ON_A_PAGE} images before these.",
        )
        st.session_state["page"] = number + 1
        st.number_input(
            "Page",
            1,
            pages,
            key="page",
            on_change=typed,
            label_visibility="collapsed",
            width=130,
            help=f"Which of {pages} pages to show.",
        )
        st.markdown(f"of {pages:,}", width="content")
        st.button(
            "Next",
            icon=":material/chevron_right:",
            icon_position="right",
            key="page-after",
            disabled=number == pages - 1,
            on_click=browse,
            kwargs={"page": number + 2},
            help=f"The {ON_A_PAGE} images after these.",
        )


def _open(position: int) -> None:
    browse(opened=position + 1)


def _tile(
    card: Card,
    album: Album,
    samples: Routed,
    position: int,
    now: Browsing,
    with_exit: bool = True,
) -> Tile:
    table, decision = samples.table, samples.decision
    label = int(table.labels[position])
    answer = card.classes[int(decision.answers[position])]
    truth = card.classes[label] if label >= 0 else ""
    right = bool(samples.right[position]) if label >= 0 else None
    exit_name = wording.exit_name(int(decision.exits[position]), card.num_exits)
    score = wording.score(float(samples.scores[position]))
    flip = samples.flip(position)
    says = f"{album.called(position)}: taken for {answer}" + (
        f", it is {truth}" if right is False else ""
    )
    pixels = album.picture(position)
    return Tile(
        number=position,
        image=None if pixels is None else data_uri(pixels),
        answer=answer,
        truth=truth,
        right=right,
        notes=[*([exit_name] if with_exit else []), f"score {score}", *([flip] if flip else [])],
        title=f"{says}; leaves at {exit_name} with a score of {score}"
        + (f"; {flip} by leaving early" if flip else ""),
        chosen=position + 1 == now.opened,
    )


def _extremes(card: Card, album: Album, samples: Routed, now: Browsing) -> None:
    groups = []
    for index in range(card.num_exits):
        name = wording.exit_name(index, card.num_exits)
        for title, positions in zip(
            ("the surest", "the least sure"), extremes(samples, index, IN_A_ROW), strict=True
        ):
            tiles = [
                _tile(card, album, samples, position, now, with_exit=False)
                for position in positions.tolist()
            ]
            groups.append(Group(tiles, name, title if tiles else "nobody else"))
    st.html(
        section(
            "Typical and strangest of each exit",
            "Whoever left with the highest score, and whoever just made it. No filter applies.",
        )
    )
    sheet(groups, "Extremes of each exit", _open, key="extremes", shown_in=_PANEL, pairs=True)


def _opened(card: Card, view: state.View, album: Album, samples: Routed, now: Browsing) -> None:
    position = now.opened - 1
    if not 0 <= position < len(samples):
        st.html(
            section("One of them", "")
            + '<p class="ee-empty">Pick an image to see what each exit said about it.</p>'
        )
        return
    table, left_at = samples.table, int(samples.decision.exits[position])
    scores = exit_scores(table.select([position]), view.policy)[0]
    rungs = [_rung(card, view, samples, position, scores, index) for index in range(card.num_exits)]
    st.html(
        _portrait(card, album, samples, position)
        + '<div class="ee-live ee-one-column" style="--exits:1">'
        + cards(rungs, left_at, CRITERIA[view.policy.criterion].title)
        + "</div>"
    )
    _to_playground(card, album, position)
    if table.top_classes is None or table.probabilities.shape[2] > 1:
        st.html(_considered(card, samples, position))


def _rung(
    card: Card,
    view: state.View,
    samples: Routed,
    position: int,
    scores: FloatArray,
    index: int,
) -> Rung:
    table, policy = samples.table, view.policy
    early = index < card.num_exits - 1
    ((answer, probability),) = likeliest(table, position, index, 1)
    known = int(table.labels[position]) >= 0
    return Rung(
        name=wording.exit_name(index, card.num_exits),
        answer=card.classes[answer],
        probability=probability,
        score=float(scores[index]) if early else None,
        threshold=policy.thresholds[index] if early else None,
        enabled=policy.enabled[index] if early else True,
        stage_cost=float(card.stage_costs[index]),
        stage_macs=card.stage_macs[index],
        right=bool(table.right[position, index]) if known else None,
    )


_FLIPPED = {
    "rescued": "Rescued by leaving early: the last exit would have been wrong.",
    "ruined": "Ruined by leaving early: the last exit would have been right.",
}


def _portrait(card: Card, album: Album, samples: Routed, position: int) -> str:
    label = int(samples.table.labels[position])
    pixels = album.picture(position)
    flip = samples.flip(position)
    image = "" if pixels is None else f'<img src="{data_uri(pixels)}" alt="">'
    truth = escape(card.classes[label]) if label >= 0 else "unknown"
    cost = wording.percent(float(samples.decision.costs[position]))
    told = f'<p class="ee-{flip}">{_FLIPPED[flip]}</p>' if flip else ""
    return (
        f'<figure class="ee-portrait">{image}<figcaption><h2>{escape(album.called(position))}</h2>'
        f"<p>It is <b>{truth}</b>.</p><p>Relative cost {cost}.</p>{told}</figcaption></figure>"
    )


def _considered(card: Card, samples: Routed, position: int) -> str:
    rows = "".join(
        f'<tr><th scope="row">{wording.exit_name(index, card.num_exits)}</th><td>'
        + " · ".join(
            f"<b>{escape(card.classes[label])}</b> {wording.percent(probability)}"
            for label, probability in likeliest(samples.table, position, index, TOP)
        )
        + "</td></tr>"
        for index in range(card.num_exits)
    )
    return f'<table class="ee-considered"><caption>Likeliest classes</caption>{rows}</table>'


def _to_playground(card: Card, album: Album, position: int) -> None:
    number, pixels = album.sample_number(position, card), album.picture(position)
    if number is None and pixels is None:
        return
    clicked = st.button(
        "Open in the Playground",
        icon=":material/science:",
        type="primary",
        width="stretch",
        help="Spoil it, and see where each exit looked.",
    )
    if not clicked:
        return
    if number is not None:
        sources.show_sample(number)
    elif pixels is not None:
        label = int(album.table.labels[position])
        sources.show_image(album.called(position), pixels, label, card.dataset)
    state.choose_spoiler("", 0.0)
    from app.views import playground

    st.switch_page(st.Page(playground.page, title="Playground", default=True))
