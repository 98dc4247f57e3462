"""What every page lets a visitor choose: the model, its operating point, the criterion."""

from collections.abc import Sequence

import streamlit as st

from app import resources, state, wording
from core.card import Card
from core.criteria import CRITERIA
from core.errors import UserError
from core.policy import Policy

OWN = "your own"


def choices() -> Card:
    """Show the pickers of model, operating point and criterion; return the model's card.

    Raises:
        UserError: there are no models.
    """
    names = resources.model_names()
    if not names:
        raise UserError(
            f"expected models in {resources.models_folder()}, but there are none; "
            "train one with `python -m core train eenet8-mnist` and copy its folder there."
        )
    view = state.open_view(names, resources.card_of)
    card = resources.card_of(view.model)
    model, point, criterion = st.columns([2, 2, 1.4], gap="medium")
    with model:
        _model(names, view)
    if card.num_exits > 1:
        with point:
            _operating_point(card, view.policy)
        with criterion:
            _criterion(card, view.policy)
    return card


def _model(names: Sequence[str], view: state.View) -> None:
    def changed() -> None:
        name = st.session_state["model"]
        state.choose_model(name, resources.card_of(name))

    st.session_state["model"] = view.model
    st.selectbox(
        "Model",
        names,
        key="model",
        on_change=changed,
        format_func=lambda name: resources.card_of(name).title,
        help="A trained network. Plain ones have no early exits: they are the yardstick.",
    )


def _operating_point(card: Card, policy: Policy) -> None:
    points = {point.name: point for point in card.operating_points}
    policies = {name: Policy.from_dict(point.policy) for name, point in points.items()}
    current = next((name for name, one in policies.items() if one == policy), OWN)

    def changed() -> None:
        chosen = st.session_state["point"]
        if chosen in policies:
            state.choose_policy(policies[chosen])

    def says(name: str) -> str:
        if name == OWN:
            return "Your own thresholds"
        drop = points[name].max_drop
        allows = f"lose at most {wording.points(drop)}" if drop else "lose nothing"
        return f"{name.capitalize()}: {allows}"

    st.session_state["point"] = current
    st.selectbox(
        "Operating point",
        [*points, *([OWN] if current == OWN else [])],
        key="point",
        on_change=changed,
        format_func=says,
        help="Ready-made thresholds: the cheapest ones that lose no more accuracy than this "
        "against the plain network. They were chosen on the calibration split.",
    )


def _criterion(card: Card, policy: Policy) -> None:
    def changed() -> None:
        state.choose_criterion(st.session_state["criterion"])

    described = "  \n".join(
        f"**{CRITERIA[name].title}**: {CRITERIA[name].description}" for name in card.criteria
    )
    st.session_state["criterion"] = policy.criterion
    st.selectbox(
        "Criterion",
        card.criteria,
        key="criterion",
        on_change=changed,
        format_func=lambda name: CRITERIA[name].title,
        help=f"How sure an exit is, as a score from 0 to 1.\n\n{described}",
    )
