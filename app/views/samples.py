"""Samples: which image leaves where, and why."""

from collections.abc import Callable, Sequence
from functools import partial
from html import escape

import streamlit as st

from app import state, text
from app.charts.network import cards, rungs_of
from app.components.background import download
from app.components.crop import framed
from app.components.exit_counts import ExitCount, exit_counts
from app.components.exit_depth import depth_section
from app.components.html import heading, section
from app.components.model_choice import choices, split_note
from app.components.own_images import own_images_panel
from app.components.picture_choice import open_in_playground, whole_picture
from app.components.picture_grid import Group, Tile, picture_grid
from app.components.pictures import data_uri, thumbnail
from app.components.sample_filters import FILTERS, choose, clear, filter_row, score_filter
from app.components.slices import slices_section
from app.components.ways import ways
from app.components.widgets import bound, page_turner, save_button
from app.sample_sources import OWN, SampleSource, own_images, sample_sources
from app.session import latest
from core.analysis.samples import (
    ExitGroup,
    Selection,
    exit_groups,
    extremes,
    likeliest,
    page_of,
    select,
    to_csv,
)
from core.data.images import open_image
from core.exits.criteria import CRITERIA
from core.exits.routing import Routing, route
from core.exits.table import IntArray
from core.hub.card import Card

ON_A_PAGE = 48
IN_A_ROW = 4
TOP = 3
_PANEL = "opened-sample"


def page() -> None:
    """Show the page."""
    heading("Samples", "Which image leaves where: every sample of a split, with its scores.")
    card = choices()
    view, now = state.view(), FILTERS.now
    split_note(view.model)
    mine = own_images()
    mine.settle()
    sources, missing = sample_sources(view.model, card)
    own = mine.source(view.model)
    source = own if now.source == OWN else sources.get(now.source) or next(iter(sources.values()))
    if now.source != OWN and missing:
        download(card.dataset, missing)
    _source_choice(sources | ({OWN: own} if own else {}), OWN if source is None else source.name)
    if now.source == OWN:
        own_images_panel(view.model, card, mine)
    if source is not None:
        _browse(card, source, route(source.table, view.policy))
    state.write_url(FILTERS.to_query())


def _browse(card: Card, source: SampleSource, routing: Routing) -> None:
    if card.num_exits > 1:
        _counts(card, source, routing)
    filter_row(card, source)
    score_filter(card, source, routing)
    grid, panel = st.columns([2.7, 1.15], gap="large")
    with grid:
        _selection(card, source, routing)
        slices_section(card, source, routing)
        _extremes(card, source, routing)
        if card.num_exits > 1:
            ways(card, routing)
            depth_section(card, source, routing, partial(_groups, card, source, routing))
    with panel, st.container(key=_PANEL):
        _opened(card, source, routing)


def _source_choice(sources: dict[str, SampleSource], chosen: str) -> None:
    def title(name: str) -> str:
        if name in sources:
            return f"{sources[name].title} ({len(sources[name].table):,})"
        return "Your own images …"

    bound(
        st.segmented_control,
        "Images",
        [*(name for name in sources if name != OWN), OWN],
        key="source",
        value=chosen,
        choose=lambda name: choose(source=name, opened=-1, page=1),
        required=True,
        format_func=title,
        help="The **test split** was never used to choose anything: its figures are the honest "
        "ones. The **shipped samples** come with the project, so their pictures are always there. "
        "**Your own images**: a zip or a folder, scored here, in your session only.",
    )


def _counts(card: Card, source: SampleSource, routing: Routing) -> None:
    chosen = FILTERS.now.selection(card).exit_index

    def pick(value: int) -> None:
        again = chosen is not None and value == chosen + 1
        choose(exit_number=0 if again else value)

    drawn = [
        ExitCount(
            value=0,
            name="All exits",
            count=f"{len(routing):,}",
            share="images",
            note=_summary(source, routing, select(routing, Selection())),
            width=1.0,
            title="Show the images of all exits",
            chosen=chosen is None,
        )
    ]
    for index, group in enumerate(exit_groups(routing)):
        name = text.exit_name(index, card.num_exits)
        drawn.append(
            ExitCount(
                value=index + 1,
                name=name,
                count=f"{group.count:,}",
                share=text.share(group.share),
                note=_of_exit(source, group, last=index == card.num_exits - 1),
                width=group.share,
                title=f"Show only the images that leave at {name}",
                chosen=chosen == index,
            )
        )
    exit_counts(drawn, "Exits: how many leave, and a filter", pick)


def _of_exit(source: SampleSource, group: ExitGroup, last: bool) -> str:
    if not group.count:
        return "no image leaves here"
    if source.labelled:
        return _right(group.accuracy, group.labelled, group.count)
    return "the other exits are compared with it" if last else _agreeing(group.agreement)


def _summary(source: SampleSource, routing: Routing, positions: IntArray) -> str:
    if source.labelled:
        labelled = int(routing.table.labelled[positions].sum())
        return _right(routing.accuracy(positions), labelled, len(positions))
    return _agreeing(routing.agreement(positions))


def _right(accuracy: float, labelled: int, count: int) -> str:
    if not labelled:
        return "no labels"
    of = "of them" if labelled == count else f"of the {labelled:,} with a label"
    return f"{text.percent(accuracy, 2)} {of} right"


def _agreeing(agreement: float) -> str:
    return f"{text.percent(agreement)} agree with the last exit"


def _selection(card: Card, source: SampleSource, routing: Routing) -> None:
    now = FILTERS.now
    selection = now.selection(card, source.labelled)
    positions = select(routing, selection)
    shown, number, pages = page_of(positions, now.page - 1, ON_A_PAGE)
    many = "All" if selection.selects_all else f"{len(positions):,} of"
    told = (now.verdict or now.flip) if source.labelled else now.agreement
    lead = _summary(source, routing, positions) if len(positions) and not told else ""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.html(section(f"{many} {len(routing):,} images", lead))
        if not selection.selects_all:
            st.button(
                "Clear the filters",
                icon=":material/filter_alt_off:",
                on_click=clear,
                help="Show all images again, of every exit and class.",
            )
        if len(positions):
            save_button(
                "Save as CSV",
                to_csv(routing, positions, source.names),
                f"{card.name}-{source.name}.csv",
                help=f"All {text.plural(len(positions), 'image')} of this selection: id, label, "
                f"answer, exit, score, cost, right, flip{', file' if source.names else ''}.",
            )
    if not len(positions):
        st.info("No image is like that. Widen a filter, or clear them.", icon=":material/search:")
        return
    tiles = [_tile(card, source, routing, position) for position in shown.tolist()]
    picture_grid(
        [Group(tiles)], "Images of this selection", _opens(source), key="selection", shown_in=_PANEL
    )
    page_turner(number, pages, lambda number: choose(page=number), key="page")


def _opens(source: SampleSource) -> Callable[[int], None]:
    def open_(position: int) -> None:
        if 0 <= position < len(source.table):
            choose(opened=source.number(position))

    return open_


def _tile(
    card: Card, source: SampleSource, routing: Routing, position: int, with_exit: bool = True
) -> Tile:
    table = routing.table
    label = int(table.labels[position])
    answer = card.classes[int(routing.answers[position])]
    truth = card.classes[label] if label >= 0 else ""
    right = bool(routing.right[position]) if label >= 0 else None
    exit_name = text.exit_name(int(routing.exits[position]), card.num_exits)
    score = text.score(float(routing.scores[position]))
    flip = routing.flip(position)
    title = f"{source.called(position)}: taken for {answer}" + (
        f", it is {truth}" if right is False else ""
    )
    notes = [*([exit_name] if with_exit else []), f"score {score}", *([flip] if flip else [])]
    ends = f"; {flip} by leaving early" if flip else ""
    if right is None and not routing.agrees[position]:
        last = card.classes[int(table.answers[position, -1])]
        notes.append(f"≠ {last}")
        ends = f"; the last exit answers {last}"
    pixels = source.picture(position)
    return Tile(
        number=position,
        image=None if pixels is None else thumbnail(pixels),
        title=f"{title}; leaves at {exit_name} with a score of {score}{ends}",
        chosen=source.number(position) == FILTERS.now.opened,
        answer=answer,
        truth=truth,
        right=right,
        notes=notes,
    )


def _extremes(card: Card, source: SampleSource, routing: Routing) -> None:
    groups = []
    for index, name in enumerate(text.exit_names(card.num_exits)):
        for title, positions in zip(
            ("the surest", "the least sure"), extremes(routing, index, IN_A_ROW), strict=True
        ):
            tiles = [
                _tile(card, source, routing, position, with_exit=False)
                for position in positions.tolist()
            ]
            groups.append(Group(tiles, name, title if tiles else "none"))
    st.html(
        section(
            "The surest and the least sure of each exit",
            "Those that left with the highest scores, and those barely above the threshold. No "
            "filter applies.",
        )
    )
    picture_grid(
        groups,
        "Extremes of each exit",
        _opens(source),
        key="extremes",
        shown_in=_PANEL,
        layout="pairs",
    )


def _groups(
    card: Card,
    source: SampleSource,
    routing: Routing,
    groups: Sequence[tuple[str, IntArray]],
    label: str,
) -> None:
    picture_grid(
        [
            Group([_tile(card, source, routing, position) for position in shown.tolist()], title)
            for title, shown in groups
        ],
        label,
        _opens(source),
        key="depth-pictures",
        shown_in=_PANEL,
        layout="pairs",
    )


def _opened(card: Card, source: SampleSource, routing: Routing) -> None:
    position = source.position_of(FILTERS.now.opened)
    if position is None:
        st.html(
            section("One sample")
            + '<p class="ee-empty">Pick an image to see what each exit answered.</p>'
        )
        return
    table, exits = routing.table, range(card.num_exits)
    labelled = table.labels[position] >= 0
    rungs = rungs_of(
        card,
        routing.policy,
        routing.exit_scores[position],
        [likeliest(table, position, index, 1)[0] for index in exits],
        [bool(table.right[position, index]) if labelled else None for index in exits],
    )
    st.html(
        _portrait(card, source, routing, position)
        + '<div class="ee-live ee-one-column" style="--exits:1">'
        + cards(rungs, int(routing.exits[position]), CRITERIA[routing.policy.criterion].title)
        + "</div>"
    )
    if source.picture(position) is not None and st.button(
        "Open in the Playground",
        icon=":material/science:",
        type="primary",
        width="stretch",
        help="Corrupt it, and see where each exit looked.",
    ):
        open_in_playground(source, position, card)
    if table.top_classes is None or table.probabilities.shape[2] > 1:
        st.html(_considered(card, routing, position))


_FLIPPED = {
    "rescued": "Rescued by leaving early: the last exit would have been wrong.",
    "ruined": "Ruined by leaving early: the last exit would have been right.",
}


def _portrait(card: Card, source: SampleSource, routing: Routing, position: int) -> str:
    label = int(routing.table.labels[position])
    pixels = source.picture(position)
    flip = routing.flip(position)
    image = "" if pixels is None else f'<img src="{data_uri(pixels)}" alt="">'
    seen = _seen(card, source, position)
    truth = f"It is <b>{escape(card.classes[label])}</b>." if label >= 0 else "It has no label."
    cost = text.percent(float(routing.costs[position]))
    told = f'<p class="ee-{flip}">{_FLIPPED[flip]}</p>' if flip else ""
    return (
        f'<figure class="ee-portrait">{image}<figcaption><h2>{escape(source.called(position))}</h2>'
        f"<p>{truth}</p><p>Relative cost {cost}.</p>{told}{seen}</figcaption></figure>"
    )


def _seen(card: Card, source: SampleSource, position: int) -> str:
    """Return a file that a visitor brought with the part that the network sees, where it is one."""
    if source.files is None:
        return ""
    file = source.files[position]

    def draw() -> str:
        whole = whole_picture(open_image(file.read(), source.called(position)).image, card)
        return "" if whole is None or whole.usual.covers(*whole.size) else framed(whole)

    return latest("opened-file", (file, card.sha256), draw)


def _considered(card: Card, routing: Routing, position: int) -> str:
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>'
        + " · ".join(
            f"<b>{escape(card.classes[label])}</b> {text.percent(probability)}"
            for label, probability in likeliest(routing.table, position, index, TOP)
        )
        + "</td></tr>"
        for index, name in enumerate(text.exit_names(card.num_exits))
    )
    return f'<table class="ee-considered"><caption>Likeliest classes</caption>{rows}</table>'
