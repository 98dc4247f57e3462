"""Present: one picture on its way through the network, large enough for a lecture hall."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from app import levels as sureness
from app import resources, state, text
from app.components.errors import sentences
from app.components.html import heading
from app.components.journey import journey
from app.components.model_choice import (
    at_the_same_cost,
    instead,
    model_choice,
    models_to_choose,
    open_configuration,
)
from app.components.picture_choice import ELSEWHERE, one_picture, show_sample
from app.state import Settings, parameter, whole
from app.tour import Step, load_tour

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
        journey(now.card, *chosen, tour=_turn if PLACE.now.tour else None)
    state.write_url(ELSEWHERE.to_query() | PLACE.to_query())


def _turn(steps: int) -> None:
    _go_to(max(PLACE.now.tour + steps, 1))


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
