"""What every page lets a visitor choose: the model, its operating point, the criterion."""

from collections.abc import Sequence

import streamlit as st

from app import resources, state, text
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.hub.card import Card, OperatingPoint

OWN, NEVER = "your own", "never"
POINT_HELP = (
    "Ready-made thresholds: the cheapest ones that lose no more accuracy than this against the "
    "plain network, or the most accurate ones that spend no more compute than this. They were "
    "chosen on the calibration split."
)


def choices() -> Card:
    """Show the pickers of model, operating point and criterion; return the model's card.

    Raises:
        UserError: there are no models.
    """
    names = models_to_choose()
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


def model_choice() -> Card:
    """Show the picker of the model alone; return the model's card.

    Raises:
        UserError: there are no models.
    """
    names = models_to_choose()
    view = state.open_view(names, resources.card_of)
    _model(names, view)
    return resources.card_of(view.model)


def models_to_choose() -> list[str]:
    """Return the names of the models.

    Raises:
        UserError: there are none.
    """
    names = resources.model_names()
    if not names:
        raise UserError(
            "expected at least one model, but there is none; train one with "
            "`python -m core train eenet8-mnist`, or name a folder of models in $EENET_MODELS."
        )
    return names


def _model(names: Sequence[str], view: state.View) -> None:
    def changed() -> None:
        name = st.session_state["model"]
        state.choose_model(name, resources.card_of(name))

    titles = {name: resources.card_of(name).title for name in names}
    st.session_state["model"] = view.model
    st.selectbox(
        "Model",
        names,
        key="model",
        on_change=changed,
        format_func=titles.__getitem__,
        help="A trained network. Plain ones have no early exits: they are the yardstick.",
    )


def _operating_point(card: Card, policy: Policy) -> None:
    policies = point_policies(card)
    current = next((name for name, one in policies.items() if one == policy), OWN)

    def changed() -> None:
        chosen = st.session_state["point"]
        if chosen in policies:
            state.choose_policy(policies[chosen])

    st.session_state["point"] = current
    st.selectbox(
        "Operating point",
        [*policies, *([OWN] if current == OWN else [])],
        key="point",
        on_change=changed,
        format_func=lambda name: point_title(card, name),
        help=POINT_HELP,
    )


def point_policies(card: Card) -> dict[str, Policy]:
    """Return the policies of a model's operating points by their names; `NEVER` comes last."""
    points = {point.name: Policy.from_dict(point.policy) for point in card.operating_points}
    return points | {NEVER: Policy.never(card.default_policy.criterion, card.num_exits)}


def point_title(card: Card, name: str) -> str:
    """Return what an operating point allows, or that it is none."""
    if name == NEVER:
        return "Never early: run the whole network"
    for point in card.operating_points:
        if point.name == name:
            own = point.max_drop is None and point.max_cost is None
            return f"{name.capitalize()}: {'as saved' if own else f'may {allows(point)}'}"
    return "Your own thresholds"


def allows(point: OperatingPoint) -> str:
    """Return what a policy of an operating point may lose or spend."""
    if point.max_cost is not None:
        return f"spend {text.percent(point.max_cost, 0)}"
    return f"lose {text.points(point.max_drop)}" if point.max_drop else "lose nothing"


def _criterion(card: Card, policy: Policy) -> None:
    def changed() -> None:
        state.choose_criterion(st.session_state["criterion"])

    st.session_state["criterion"] = policy.criterion
    st.selectbox(
        "Criterion",
        card.criteria,
        key="criterion",
        on_change=changed,
        format_func=lambda name: CRITERIA[name].title,
        help=criterion_help(card),
    )


def criterion_help(card: Card) -> str:
    """Return what a criterion is, and each one that a model can be used with."""
    described = "  \n".join(
        f"**{CRITERIA[name].title}**: {CRITERIA[name].description}" for name in card.criteria
    )
    return f"How sure an exit is, as a score from 0 to 1.\n\n{described}"
