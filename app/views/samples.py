"""Samples: who leaves where, and why."""

import math
from dataclasses import replace
from html import escape

import streamlit as st

from app import state, text
from app.browsing import (
    AGREES,
    DIFFERS,
    RIGHT,
    WRONG,
    Browsing,
    browse,
    browsing,
    start_over,
)
from app.charts.ladder import Rung, cards
from app.components import model_choice, picture_choice
from app.components.download import fetching
from app.components.exit_counts import ExitCount, exit_counts
from app.components.own_images import intake
from app.components.picture_grid import Group, Tile, picture_grid
from app.components.pictures import data_uri
from app.components.saving import save_button
from app.components.score_range import Bars, Histogram, score_range
from app.components.style import heading, section
from app.own import own_images
from app.sample_sources import OWN, Album, albums, own_album
from core.analysis.samples import (
    ORDERS,
    ExitGroup,
    exit_groups,
    extremes,
    likeliest,
    page_of,
    score_bars,
    select,
    to_csv,
    within_steps,
)
from core.exits.criteria import CRITERIA
from core.exits.routing import Routing, route
from core.exits.table import FloatArray, IntArray
from core.hub.card import Card

ON_A_PAGE = 48
IN_A_ROW = 4
TOP = 3
BINS = 50
_PANEL = "opened-sample"
_ANY = "any"
_ORDERS = {"data": "As in the data", "least_sure": "Least sure first", "most_sure": "Surest first"}
_FLIPS = {_ANY: "Any", "rescued": "Rescued", "ruined": "Ruined"}
_VERDICTS = {_ANY: "Any", RIGHT: "✓ Right", WRONG: "✗ Wrong"}
_LAST = {_ANY: "Any", AGREES: "= Agrees", DIFFERS: "≠ Differs"}


def page() -> None:
    """Show the page."""
    heading("Samples", "Who leaves where, and why: every image of a split, with its pictures.")
    card = model_choice.choices()
    view, now = state.view(), browsing()
    mine = own_images()
    mine.settle()
    found, missing = albums(view.model, card)
    own = own_album(view.model, mine)
    album = own if now.album == OWN else found.get(now.album) or next(iter(found.values()))
    if now.album != OWN and missing:
        fetching(card.dataset, missing)
    _albums({**found, **({OWN: own} if own else {})}, OWN if album is None else album.name)
    if now.album == OWN:
        intake(view.model, card, mine)
    if album is not None:
        _browse(card, view, album, now)
    state.write_url(browsing().to_query())


def _browse(card: Card, view: state.View, album: Album, now: Browsing) -> None:
    samples = route(album.table, view.policy)
    if card.num_exits > 1:
        _tally(card, album, samples, now)
    positions = select(samples, now.selection(card, album.labelled))
    _filters(card, album, now)
    _scores(card, view, album, samples, now)
    grid, panel = st.columns([2.7, 1.15], gap="large")
    with grid:
        _found(card, album, samples, positions, now)
        _extremes(card, album, samples, now)
    with panel, st.container(key=_PANEL):
        _opened(card, view, album, samples, now)


def _albums(found: dict[str, Album], chosen: str) -> None:
    def changed() -> None:
        browse(album=st.session_state["album"], opened=0, page=1)

    def title(name: str) -> str:
        if name in found:
            return f"{found[name].title} ({len(found[name].table):,})"
        return "Your own images …"

    st.session_state["album"] = chosen
    st.segmented_control(
        "Images",
        [*(name for name in found if name != OWN), OWN],
        required=True,
        key="album",
        on_change=changed,
        format_func=title,
        help="The **test split** was never used to choose anything: its figures are the honest "
        "ones. The **shipped samples** come with the project, so their pictures are always there. "
        "**Your own images**: a zip or a folder, scored here and seen by nobody else.",
    )


def _tally(card: Card, album: Album, samples: Routing, now: Browsing) -> None:
    asked = now.selection(card).exit_index
    everyone = select(samples, Browsing().selection(card))

    def pick(value: int) -> None:
        again = asked is not None and value == asked + 1
        browse(exit_number=0 if again else value)

    drawn = [
        ExitCount(
            value=0,
            name="All exits",
            count=f"{len(samples):,}",
            share="images",
            note=_summed(album, samples, everyone),
            width=1.0,
            title="Show the images of all exits",
            chosen=asked is None,
        )
    ]
    for index, one in enumerate(exit_groups(samples)):
        name = text.exit_name(index, card.num_exits)
        drawn.append(
            ExitCount(
                value=index + 1,
                name=name,
                count=f"{one.count:,}",
                share=text.share(one.share),
                note=_of_exit(album, one, last=index == card.num_exits - 1),
                width=one.share,
                title=f"Show only the images that leave at {name}",
                chosen=asked == index,
            )
        )
    exit_counts(drawn, "Exits: how many leave, and a filter", pick)


def _of_exit(album: Album, one: ExitGroup, last: bool) -> str:
    if not one.count:
        return "nobody leaves here"
    if album.labelled:
        return _right(one.accuracy)
    return "its answers count as the last word" if last else _agreeing(one.agreement)


def _summed(album: Album, samples: Routing, positions: IntArray) -> str:
    if album.labelled:
        return _right(samples.accuracy(positions))
    return _agreeing(samples.agreement(positions))


def _right(accuracy: float) -> str:
    if math.isnan(accuracy):
        return "right answers unknown"
    return f"{text.percent(accuracy, 2)} of them right"


def _agreeing(agreement: float) -> str:
    return f"{text.percent(agreement)} as the last exit says"


def _filters(card: Card, album: Album, now: Browsing) -> None:
    label, verdict, flip, order = st.columns([1.1, 1.5, 1.6, 1.2], gap="medium")
    with order:
        _order(now)
    with label:
        _class(card, album, now)
    if not album.labelled:
        if card.num_exits > 1:
            with verdict:
                _choice(
                    "Last exit",
                    "last",
                    _LAST,
                    now.last,
                    "Whether the last exit would have given the same answer. What is right is not "
                    "known of these images.",
                )
        return
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


def _class(card: Card, album: Album, now: Browsing) -> None:
    everything = "All classes"
    field, value = ("label", now.label) if album.labelled else ("taken", now.taken)

    def changed() -> None:
        chosen = st.session_state["class"]
        browse(**{field: "" if chosen == everything else chosen})

    st.session_state["class"] = value if value in card.classes else everything
    st.selectbox(
        "Class" if album.labelled else "Taken for",
        [everything, *card.classes],
        key="class",
        on_change=changed,
        help="What the image really shows, whatever the network answered."
        if album.labelled
        else "What the network answered.",
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


def _scores(card: Card, view: state.View, album: Album, samples: Routing, now: Browsing) -> None:
    criterion = CRITERIA[view.policy.criterion]
    last = (
        "At the final exit, where no score is asked for, it is the probability of the answer."
        if criterion.needs_confidence
        else "The final exit asks for none, but has one all the same."
    )
    others = replace(now.selection(card, album.labelled), low=0.0, high=1.0)
    positions = select(samples, others)
    below, at_most = within_steps(samples.scores[positions])
    up, down, by_label = score_bars(samples, positions, BINS)
    names = ("right", "wrong") if by_label else ("as the last exit says", "not so")
    score_range(
        Histogram(
            title=f"{criterion.title} where it left",
            help=f"{criterion.title} at the exit where the image left. {last} Drag over the bars "
            "to choose a range, drag the range to move it, click beside it to have all again; the "
            "handles also move with the arrow keys. Heights grow with the logarithm of the "
            "count.",
            up=Bars(names[0], up.tolist()),
            down=Bars(names[1], down.tolist()),
            below=below.tolist(),
            at_most=at_most.tolist(),
            low=now.low,
            high=now.high,
        ),
        lambda low, high: browse(low=low, high=high),
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


def _found(card: Card, album: Album, samples: Routing, positions: IntArray, now: Browsing) -> None:
    shown, number, pages = page_of(positions, now.page - 1, ON_A_PAGE)
    whole = now.selection(card, album.labelled).whole
    many = "All" if whole else f"{len(positions):,} of"
    told = (now.verdict or now.flip) if album.labelled else now.last
    lead = _summed(album, samples, positions) if len(positions) and not told else ""
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
            save_button(
                "Save as CSV",
                to_csv(samples, positions, album.names),
                f"{card.name}-{album.name}.csv",
                help=f"All {text.plural(len(positions), 'image')} of this selection: id, label, "
                f"answer, exit, score, cost, right, flip{', file' if album.names else ''}.",
            )
    if not len(positions):
        st.info("No image is like that. Widen a filter, or clear them.", icon=":material/search:")
        return
    tiles = [_tile(card, album, samples, position, now) for position in shown.tolist()]
    picture_grid(
        [Group(tiles)], "Images of this selection", _open, key="selection", shown_in=_PANEL
    )
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
    samples: Routing,
    position: int,
    now: Browsing,
    with_exit: bool = True,
) -> Tile:
    table = samples.table
    label = int(table.labels[position])
    answer = card.classes[int(samples.answers[position])]
    truth = card.classes[label] if label >= 0 else ""
    right = bool(samples.right[position]) if label >= 0 else None
    exit_name = text.exit_name(int(samples.exits[position]), card.num_exits)
    score = text.score(float(samples.scores[position]))
    flip = samples.flip(position)
    says = f"{album.called(position)}: taken for {answer}" + (
        f", it is {truth}" if right is False else ""
    )
    notes = [*([exit_name] if with_exit else []), f"score {score}", *([flip] if flip else [])]
    ends = f"; {flip} by leaving early" if flip else ""
    if right is None and not samples.agrees[position]:
        last = card.classes[int(table.answers[position, -1])]
        notes.append(f"≠ {last}")
        ends = f"; the last exit says {last}"
    pixels = album.picture(position)
    return Tile(
        number=position,
        image=None if pixels is None else data_uri(pixels),
        answer=answer,
        truth=truth,
        right=right,
        notes=notes,
        title=f"{says}; leaves at {exit_name} with a score of {score}{ends}",
        chosen=position + 1 == now.opened,
    )


def _extremes(card: Card, album: Album, samples: Routing, now: Browsing) -> None:
    groups = []
    for index in range(card.num_exits):
        name = text.exit_name(index, card.num_exits)
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
    picture_grid(
        groups, "Extremes of each exit", _open, key="extremes", shown_in=_PANEL, layout="pairs"
    )


def _opened(card: Card, view: state.View, album: Album, samples: Routing, now: Browsing) -> None:
    position = now.opened - 1
    if not 0 <= position < len(samples):
        st.html(
            section("One of them", "")
            + '<p class="ee-empty">Pick an image to see what each exit said about it.</p>'
        )
        return
    table, left_at = samples.table, int(samples.exits[position])
    scores = samples.exit_scores[position]
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
    samples: Routing,
    position: int,
    scores: FloatArray,
    index: int,
) -> Rung:
    table, policy = samples.table, view.policy
    early = index < card.num_exits - 1
    ((answer, probability),) = likeliest(table, position, index, 1)
    known = int(table.labels[position]) >= 0
    return Rung(
        name=text.exit_name(index, card.num_exits),
        answer=card.classes[answer],
        probability=probability,
        score=float(scores[index]) if early else None,
        threshold=policy.thresholds[index] if early else None,
        enabled=policy.enabled[index] if early else True,
        stage_cost=float(card.costs.stages[index]),
        stage_macs=card.stage_macs[index],
        right=bool(table.right[position, index]) if known else None,
    )


_FLIPPED = {
    "rescued": "Rescued by leaving early: the last exit would have been wrong.",
    "ruined": "Ruined by leaving early: the last exit would have been right.",
}


_UNKNOWN = "It is not known what it is."


def _portrait(card: Card, album: Album, samples: Routing, position: int) -> str:
    label = int(samples.table.labels[position])
    pixels = album.picture(position)
    flip = samples.flip(position)
    image = "" if pixels is None else f'<img src="{data_uri(pixels)}" alt="">'
    it_is = f"It is <b>{escape(card.classes[label])}</b>." if label >= 0 else _UNKNOWN
    cost = text.percent(float(samples.costs[position]))
    told = f'<p class="ee-{flip}">{_FLIPPED[flip]}</p>' if flip else ""
    return (
        f'<figure class="ee-portrait">{image}<figcaption><h2>{escape(album.called(position))}</h2>'
        f"<p>{it_is}</p><p>Relative cost {cost}.</p>{told}</figcaption></figure>"
    )


def _considered(card: Card, samples: Routing, position: int) -> str:
    rows = "".join(
        f'<tr><th scope="row">{text.exit_name(index, card.num_exits)}</th><td>'
        + " · ".join(
            f"<b>{escape(card.classes[label])}</b> {text.percent(probability)}"
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
        picture_choice.show_sample(number)
    elif pixels is not None:
        label = int(album.table.labels[position])
        known = label if label >= 0 else None
        picture_choice.show_image(album.called(position), pixels, known, card.dataset)
    state.choose_spoiler("", 0.0)
    from app.views import playground

    st.switch_page(st.Page(playground.page, title="Playground", default=True))
