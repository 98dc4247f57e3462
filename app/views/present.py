"""Present: one picture on its way through the network, large enough for a lecture hall."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from app import levels as sureness
from app import resources, state, text
from app.components.errors import sentences
from app.components.html import heading
from app.components.journey import MOST_CHANNELS, journey
from app.components.model_choice import (
    at_the_same_cost,
    instead,
    model_choice,
    models_to_choose,
    open_configuration,
)
from app.components.picture_choice import ELSEWHERE, corrupted, one_picture, show_sample
from app.components.pictures import Picture
from app.levels import Level
from app.state import Settings, parameter, whole
from app.tour import Step, load_tour
from core.analysis.corruptions import CORRUPTIONS
from core.foundation.errors import UserError
from core.hub.card import Card

_ENTERED, _INSTEAD = "tour-entered", "tour-instead"
LEVEL = "level"
"""In a tour: where the slider stands, from 0 to 100."""


@dataclass(frozen=True)
class Place:
    """Where a tour is: its step, counted from 1; 0 without one."""

    tour: int = parameter("tour", 0, whole())


PLACE = Settings("present", Place)


def page() -> None:
    """Show the page."""
    names = models_to_choose()
    with sentences():
        _enter(names)
    now = open_configuration(names)
    with st.container(key="present-top", horizontal=True, vertical_alignment="center"):
        heading("Present", "One picture on its way through a network, for a room to watch.")
        with st.container(width=300):
            model_choice(now, names, bare=True)
        if not PLACE.now.tour:
            st.button(
                "Start the tour",
                icon=":material/tour:",
                on_click=_go_to,
                args=(1,),
                help="Ten minutes on early exits, step by step. The text is a Markdown file; "
                "$EENET_TOUR names another.",
            )
    if PLACE.now.tour:
        with sentences():
            _tour(load_tour())
    chosen = one_picture(now.card)
    if chosen is None:
        st.info(
            f"No images of {text.dataset(now.card.dataset)} ship, and the data set is not on this "
            "machine: upload a picture on the Playground.",
            icon=":material/upload:",
        )
    else:
        _journey(now.card, names, *chosen)
    state.write_url(ELSEWHERE.to_query() | PLACE.to_query())


def _journey(card: Card, names: Sequence[str], picture: Picture, go: Callable[[str], None]) -> None:
    view = state.view()
    picture = replace(picture, pixels=corrupted(picture.pixels, view))
    if view.corruption:
        worse = f"{CORRUPTIONS[view.corruption].title.lower()} {text.percent(view.severity, 0)}"
        picture = replace(picture, name=f"{picture.name}, {worse}")
    split = resources.shown_split(view.model)
    samples = f"{len(resources.table_on(view.model, split)):,} {split} images"

    def step(to: str) -> None:
        if to == "model":
            _next_model(names)
        elif to in ("on", "back"):
            _go_to(PLACE.now.tour + (1 if to == "on" else -1))
        else:
            go(to)

    journey(
        card,
        picture,
        resources.table_of(view.model, picture.pixels[None]),
        resources.feature_maps(view.model, picture.pixels, MOST_CHANNELS),
        *_levels(view),
        samples,
        state.choose_policy,
        step,
        touring=PLACE.now.tour > 0,
    )


def _levels(view: state.View) -> tuple[list[Level], int]:
    try:
        known = sureness.levels(view.model, view.policy)
        return sureness.holding(known, view.model, view.policy)
    except UserError:  # saved without tables
        return [Level(view.policy)], 0


def _next_model(names: Sequence[str]) -> None:
    cards = resources.cards_of(names)
    early = [name for name in names if name in cards and cards[name].num_exits > 1]
    now = state.view().model
    following = early[(early.index(now) + 1) % len(early)] if now in early else early[0]
    state.choose_model(following, cards[following])


def _go_to(step: int) -> None:
    PLACE.change(tour=max(step, 0))
    st.session_state[_ENTERED] = True


def _enter(names: Sequence[str]) -> None:
    """Show what the step that was just entered shows."""
    number = PLACE.now.tour
    if not st.session_state.pop(_ENTERED, False) or not number:
        return
    steps = load_tour()
    PLACE.change(tour=min(number, len(steps)))
    shows = steps[PLACE.now.tour - 1].shows
    if not shows:
        return
    view, sentence = state.read_view(shows, names, resources.card_of, at_the_same_cost)
    place = state.number(0, 100)(shows.get(LEVEL, ""))
    if place is not None and not sentence:
        known = sureness.levels(view.model, view.policy)
        view = replace(view, policy=sureness.at(known, place) if known else view.policy)
    state.choose(view)
    show_sample(view.sample)
    st.session_state[_INSTEAD] = sentence


def _tour(steps: Sequence[Step]) -> None:
    number = min(PLACE.now.tour, len(steps))
    step = steps[number - 1]
    with st.container(key="tour", horizontal=True, vertical_alignment="center"):
        with st.container():
            st.markdown(f"**{number} of {len(steps)} · {step.title}**  \n{step.body}")
        for title, icon, to, last in (
            ("Back", "arrow_back", number - 1, 1),
            ("Next", "arrow_forward", number + 1, len(steps)),
        ):
            st.button(
                title,
                icon=f":material/{icon}:",
                disabled=number == last,
                on_click=_go_to,
                args=(to,),
                key=f"tour-{title}",
                help=f"Or press Page {'down' if title == 'Next' else 'up'}, as clickers do.",
            )
        st.button("End", icon=":material/close:", on_click=_go_to, args=(0,), help="Ends the tour.")
    instead(st.session_state.get(_INSTEAD, ""))
