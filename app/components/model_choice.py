"""What every page lets a visitor choose: the model, its operating point, the criterion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from app import resources, state, text, views
from app.components.widgets import bound
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.hub.card import Card, OperatingPoint
from core.tuning.front import at_cost

OWN, NEVER = "your own", "never"


@dataclass(frozen=True)
class Configuration:
    """A view with its model's card, and how to choose another.

    Attributes:
        view: that stands.
        card: of its model.
        choose: takes another view.
        letter: "A" or "B" where two of them share a page.
    """

    view: state.View
    card: Card
    choose: Callable[[state.View], None] = state.choose
    letter: str = ""

    def key(self, name: str) -> str:
        """Return the key of a widget, unique on the page."""
        return f"{self.letter}-{name}".removeprefix("-")

    def choose_policy(self, policy: Policy) -> None:
        """Decide by another policy."""
        self.choose(replace(self.view, policy=policy))

    @property
    def exit_names(self) -> list[str]:
        """Names of the exits."""
        return text.exit_names(self.card.num_exits)


def split_note(*models: str) -> None:
    """Say so where the figures of a model are not of test images."""
    notes = (text.without_test(resources.shown_split(model)) for model in models)
    note = next(filter(None, notes), "")
    if note:
        st.info(note, icon=":material/info:")


def open_buttons(name: str, pages: Sequence[str]) -> None:
    """Show buttons that choose a model and go to a page."""
    with st.container(horizontal=True):
        for page in pages:
            title, icon = views.PAGES[page]
            if st.button(
                f"Open in {title}",
                icon=f":material/{icon}:",
                help=f"Choose this model, and go to {title}.",
            ):
                state.choose_model(name, resources.card_of(name))
                st.switch_page(views.page(page))


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


def open_configuration(names: Sequence[str], letter: str = "") -> Configuration:
    """Return what all pages look at, one of these models."""
    view = state.open_view(names, resources.card_of, at_the_same_cost)
    instead(state.shown_instead())
    return Configuration(view, resources.card_of(view.model), letter=letter)


def at_the_same_cost(model: str, policy: Policy, criterion: str) -> Policy:
    """Return a policy of a model that decides by another criterion and costs the same."""
    return retuned(model, policy, criterion, None)[0]


def instead(sentence: str) -> None:
    """Say what of a link could not be had, if anything."""
    if sentence:
        st.warning(sentence, icon=":material/link_off:")


def choices() -> Card:
    """Show the pickers of model, operating point and criterion; return the model's card.

    Raises:
        UserError: there are no models.
    """
    names = models_to_choose()
    now = open_configuration(names)
    with st.container(key="choices"):
        model, point, criterion = st.columns([2, 2, 1.4], gap="medium")
    with model:
        model_choice(now, names)
    if now.card.num_exits > 1:
        with point:
            point_choice(now)
        with criterion:
            criterion_choice(now)
    return now.card


def model_choice(
    now: Configuration,
    names: Sequence[str],
    help: str = "A trained network. Plain ones have no early exits: they are the yardstick.",
    *,
    bare: bool = False,
) -> None:
    """Show the picker of the model; ``bare``: without its label above."""

    def choose(name: str) -> None:
        policy = resources.card_of(name).default_policy
        now.choose(replace(now.view, model=name, policy=policy))

    titles = {name: resources.title_of(name) for name in names}
    bound(
        st.selectbox,
        "Model",
        names,
        key=now.key("model"),
        value=now.view.model,
        choose=choose,
        format_func=titles.__getitem__,
        help=help,
        label_visibility="collapsed" if bare else "visible",
    )


def point_choice(now: Configuration) -> None:
    """Show the picker of the operating point."""
    policies = point_policies(now.card)
    current = next((name for name, one in policies.items() if one == now.view.policy), OWN)

    def choose(name: str) -> None:
        if name in policies:
            now.choose_policy(policies[name])

    bound(
        st.selectbox,
        "Operating point",
        [*policies, *([OWN] if current == OWN else [])],
        key=now.key("point"),
        value=current,
        choose=choose,
        format_func=lambda name: point_title(now.card, name),
        help="Ready-made thresholds: the cheapest ones that are proven, with a confidence of 90 %, "
        "to lose no more accuracy than this on new images, or the most accurate ones that spend no "
        "more compute than this. They were chosen on the calibration split. In brackets: accuracy "
        "on test against the plain network, and where it lies with a confidence of 95 %.",
    )


def point_policies(card: Card) -> dict[str, Policy]:
    """Return the policies of a model's operating points by their names; `NEVER` comes last."""
    points = {point.name: Policy.from_dict(point.policy) for point in card.operating_points}
    return points | {NEVER: Policy.never(card.default_policy.criterion, card.num_exits)}


def point_title(card: Card, name: str) -> str:
    """Return the name of an operating point, or that it is none."""
    if name == NEVER:
        return "Never early: run the whole network"
    for point in card.operating_points:
        if point.name == name:
            own = point.max_drop is None and point.max_cost is None
            title = f"{name.capitalize()}{': as saved' if own else ''}"
            measured = point.test and point.test.difference_interval
            return f"{title}; on test {text.apart_interval(measured)}" if measured else title
    return "Your own thresholds"


def allows(point: OperatingPoint) -> str:
    """Return what a policy of an operating point may lose or spend."""
    if point.max_cost is not None:
        return f"spend {text.percent(point.max_cost, 0)}"
    return f"lose {text.points(point.max_drop)}" if point.max_drop else "lose no accuracy"


_KEPT = (
    "The thresholds stayed as they were: the model has no labelled calibration images, on which "
    "those of another score could be chosen."
)


def retuned(
    model: str, policy: Policy, criterion: str, temperatures: tuple[float, ...] | None
) -> tuple[Policy, str]:
    """Return a policy that decides by another score and costs the same, and what to say about it.

    It is the policy on the accuracy–cost front of that score whose relative cost on calibration is
    nearest. Without a front, thresholds stay as they are.

    Args:
        model: its name.
        policy: that stands.
        criterion: of the new one.
        temperatures: of the new one.
    """
    same = replace(policy, criterion=criterion, temperatures=temperatures)
    if not any(policy.enabled):
        return same, ""
    try:
        cost = resources.report_on(model, "calibration", policy).relative_cost
        unmoved = resources.report_on(model, "calibration", same).relative_cost == cost
        if unmoved and criterion == policy.criterion:  # temperatures leave its scores alone
            return same, ""
        return at_cost(resources.front_of(model, criterion, temperatures), cost), ""
    except UserError:
        return same, _KEPT


def criterion_choice(now: Configuration) -> None:
    """Show the picker of the criterion; another one takes thresholds that cost the same."""
    kept = now.key("kept-thresholds")

    def choose(name: str) -> None:
        policy, st.session_state[kept] = retuned(
            now.view.model, now.view.policy, name, now.view.policy.temperatures
        )
        now.choose_policy(policy)

    criteria = {name: CRITERIA[name] for name in now.card.criteria}
    described = "  \n".join(f"**{one.title}**: {one.description}" for one in criteria.values())
    bound(
        st.selectbox,
        "Criterion",
        now.card.criteria,
        key=now.key("criterion"),
        value=now.view.policy.criterion,
        choose=choose,
        format_func=lambda name: criteria[name].title,
        help="How sure an exit is, as a score from 0 to 1. Another score takes thresholds that "
        f"cost the same on the calibration split.\n\n{described}",
    )
    if st.session_state.get(kept):
        st.caption(st.session_state.pop(kept))
