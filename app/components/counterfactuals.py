"""What would change where an image leaves: its least corruptions that send it to another exit."""

from typing import Any

import streamlit as st

from app import resources, state, text
from app.components.background import on_demand
from app.components.html import section
from app.components.picture_grid import Group, Tile, picture_grid
from app.components.pictures import Picture, thumbnail
from core.analysis.corruptions import CORRUPTIONS, corrupt
from core.analysis.counterfactuals import Counterfactual, counterfactuals
from core.exits.routing import Routing, route
from core.hub.card import Card


def what_would_change(card: Card, view: state.View, picture: Picture) -> None:
    """Offer to look for counterfactuals of a picture, and show them for the view's policy."""
    st.html(
        section(
            "What would change where it leaves",
            "The least of each corruption that sends this image to a later or an earlier exit. "
            "Click one to see all of it.",
        )
    )
    job = on_demand(
        "counterfactuals",
        (resources.version_of(view.model), picture.pixels.tobytes()),
        "Look for the least corruptions",
        f"Runs the network on {len(CORRUPTIONS)} kinds of corruption in 20 steps each.",
        lambda: resources.versions_scored(view.model, picture.pixels),
    )
    if job is not None and job.result is not None:
        _show(card, view, picture, route(job.result, view.policy))


def _show(card: Card, view: state.View, picture: Picture, routing: Routing) -> None:
    found = counterfactuals(routing)
    if not found:
        st.info(
            "None of them sends this image to another exit, however severe.", icon=":material/lock:"
        )
        return

    def pick(position: int) -> None:
        for one in found:
            if one.position == position:
                state.change(corruption=one.corruption, severity=one.severity)

    here = text.exit_name(int(routing.exits[0]), card.num_exits)
    groups = [
        Group(
            [_tile(card, view, picture, routing, one) for one in found if one.later is later],
            title,
        )
        for later, title in ((True, f"Later than {here}"), (False, f"Earlier than {here}"))
    ]
    picture_grid(
        [group for group in groups if group.tiles],
        "Corruptions that send the image to another exit",
        pick,
        key="counterfactuals-found",
    )


def _tile(
    card: Card,
    view: state.View,
    picture: Picture,
    routing: Routing,
    one: Counterfactual,
) -> Tile:
    answer = int(routing.answers[one.position])
    known: dict[str, Any] = {}
    if picture.label is not None:
        known = {"truth": card.classes[picture.label], "right": answer == picture.label}
    what = f"{CORRUPTIONS[one.corruption].title} {text.percent(one.severity, 0)}"
    exit_name = text.exit_name(int(routing.exits[one.position]), card.num_exits)
    return Tile(
        number=one.position,
        image=thumbnail(corrupt(picture.pixels, one.corruption, one.severity)),
        title=f"{what}: leaves at {exit_name}, taken for {card.classes[answer]}",
        chosen=(view.corruption, view.severity) == (one.corruption, one.severity),
        answer=card.classes[answer],
        notes=[what, exit_name],
        **known,
    )
