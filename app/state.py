"""What a visitor has chosen, in one place: kept in the session and written into the URL.

A link reproduces the view. What it says of a page is brought into range without complaint; a model
or thresholds that cannot be had are not replaced by halves: a sentence says what was wanted.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import text
from app.session import own_query
from core.analysis.corruptions import CORRUPTIONS
from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.hub.card import Card

_VIEW, _INSTEAD, _FOLLOWED = "view", "shown-instead", "followed-by"
T = TypeVar("T")
Read = Callable[[str], Any]
"""Returns the value of a parameter, in range; None for a text that means nothing."""


def parameter(
    name: str,
    default: Any,
    read: Read = str,
    write: Callable[[Any], str] = str,
    *,
    always: bool = False,
) -> Any:
    """Declare a dataclass's field that is a parameter of a link.

    Args:
        name: in the URL.
        default: where the URL does not say, or says nothing that has a meaning.
        read: of the text in the URL.
        write: the inverse.
        always: write it even where it is the default.
    """
    how = {"name": name, "read": read, "write": write, "always": always}
    return field(default=default, metadata=how)


def choice(known: Collection[str]) -> Read:
    """Read one of some words."""
    return lambda text: text if text in known else None


def number(low: float, high: float) -> Read:
    """Read a number, brought between ``low`` and ``high``; never NaN."""

    def read(text: str) -> float | None:
        try:
            value = float(text)
        except ValueError:
            return None
        return None if math.isnan(value) else min(max(value, low), high)

    return read


def whole(low: int = 0, high: int = 10**9) -> Read:
    """Read a whole number, brought between ``low`` and ``high``."""

    def read(text: str) -> int | None:
        # longer ones are no sample of anything, and slow to read
        fine = text.isascii() and text.isdigit() and len(text) < 10
        return min(max(int(text), low), high) if fine else None

    return read


def counted(values: Read) -> Read:
    """Read a number that people count from 1, and we from 0."""

    def read(text: str) -> int | None:
        value = values(text)
        return None if value is None else max(value, 1) - 1

    return read


def from_one(value: int) -> str:
    """Write a number that `counted` reads."""
    return str(value + 1)


def nearest(values: Sequence[Any]) -> Read:
    """Read a number as the nearest of some values."""

    def read(text: str) -> Any:
        value = number(-math.inf, math.inf)(text)
        return None if value is None else min(values, key=lambda known: abs(known - value))

    return read


def from_query(kind: type[T], query: Mapping[str, str]) -> T:
    """Return the dataclass that a URL describes; what is missing or wrong is the default."""
    how = {one.name: one.metadata for one in fields(kind)}  # type: ignore[arg-type]
    given = {
        name: one["read"](query[one["name"]]) for name, one in how.items() if one["name"] in query
    }
    return kind(**{name: value for name, value in given.items() if value is not None})


def to_query(chosen: Any) -> dict[str, str]:
    """Return the URL parameters that `from_query` understands."""
    query = {}
    for one in fields(chosen):
        value = getattr(chosen, one.name)
        if one.metadata["always"] or value != one.default:
            query[one.metadata["name"]] = one.metadata["write"](value)
    return query


class Settings(Generic[T]):
    """The choices of one page: read from the URL when the session is new, then kept in it."""

    def __init__(self, name: str, kind: type[T]) -> None:
        """Take a name and a dataclass of which every field is a `parameter`."""
        self.name, self.kind = name, kind
        self._key = f"settings-{name}"

    @property
    def now(self) -> T:
        """The session's choices."""
        if self._key not in st.session_state or follows(self._key):
            st.session_state[self._key] = from_query(self.kind, st.query_params)
        current = st.session_state[self._key]
        assert isinstance(current, self.kind)
        return current

    def change(self, **changes: Any) -> None:
        """Change some of them."""
        st.session_state[self._key] = replace(self.now, **changes)  # type: ignore[type-var]

    def to_query(self) -> dict[str, str]:
        """Return the URL parameters of the session's choices."""
        return to_query(self.now)


@dataclass(frozen=True)
class _Link:
    """A view as a URL has it: nothing here knows which model there is, or how many exits."""

    model: str = parameter("model", "", always=True)
    criterion: str = parameter("criterion", "", always=True)
    thresholds: str = parameter("thresholds", "")
    off: str = parameter("off", "")
    temperatures: str = parameter("temperatures", "")
    sample: int = parameter("sample", 0, counted(whole()), from_one)
    corruption: str = parameter("spoil", "", choice(CORRUPTIONS))
    severity: float = parameter("severity", 0.0, number(0, 1), "{:g}".format)


@dataclass(frozen=True)
class View:
    """The choices that every page shares.

    Attributes:
        model: its name.
        policy: that decides where images leave.
        sample: number of the one that is looked at.
        corruption: of the image on the Playground, a name in `CORRUPTIONS`, or "".
        severity: of that, in [0, 1].
    """

    model: str
    policy: Policy
    sample: int = 0
    corruption: str = ""
    severity: float = 0.0

    def to_query(self) -> dict[str, str]:
        """Return the URL parameters that `read_view` understands."""
        policy = self.policy
        link = _Link(
            self.model,
            policy.criterion,
            ",".join(map(repr, policy.thresholds)),
            ",".join(str(number) for number, on in enumerate(policy.enabled, 1) if not on),
            ",".join(map(repr, policy.temperatures or ())),
            self.sample,
            self.corruption,
            self.severity if self.corruption else 0.0,
        )
        return to_query(link)


Retune = Callable[[str, Policy, str], Policy]
"""Returns a policy of a model that decides by another criterion and costs the same."""


def read_view(
    query: Mapping[str, str],
    models: Sequence[str],
    card_of: Callable[[str], Card],
    retune: Retune,
) -> tuple[View, str]:
    """Return the view that a URL describes, and what of it cannot be had, as sentences.

    Without the model it is the first one, without its policy the one that the model's card
    recommends: thresholds mean nothing for another network.

    Args:
        query: the URL's parameters.
        models: names to choose from, at least one; the first is the default.
        card_of: gives the card of a name in ``models``.
        retune: gives the thresholds where a link names a criterion alone.
    """
    link = from_query(_Link, query)
    known = link.model in models
    model = link.model if known else models[0]
    card, instead = card_of(model), ""
    policy = card.default_policy
    if link.model and not known:
        instead = (
            f"The link is for a model called “{_quoted(link.model)}”, which is not here. One that "
            "was trained on a page is kept for a while only. "
            f"Shown instead: {card.title}, with thresholds of its own."
        )
    else:
        try:
            policy = _policy(link, model, card, retune)
        except UserError as error:
            instead = (
                f"The link’s thresholds are not for {card.title}: {text.told(str(error))} "
                "Shown instead: those that its card recommends."
            )
    return View(model, policy, link.sample, link.corruption, link.severity), instead


def _quoted(words: str) -> str:
    return re.sub(r"[^\w.+-]", " ", words)[:60]


def _policy(link: _Link, model: str, card: Card, retune: Retune) -> Policy:
    base = card.default_policy
    criterion = link.criterion or base.criterion
    if criterion not in card.criteria:
        raise UserError(f"it has no criterion “{_quoted(criterion)}”.")
    if criterion != base.criterion and not link.thresholds:
        base = retune(model, base, criterion)
    if not (link.thresholds or link.off or link.temperatures):
        return base
    early = card.num_exits - 1
    values = [_value(word) for word in link.thresholds.split(",")] if link.thresholds else []
    if link.thresholds and len(values) != early:
        raise UserError(
            f"it has {text.plural(early, 'early exit')}, and the link "
            f"{text.plural(len(values), 'threshold')}."
        )
    if link.off and not set(link.off.split(",")) <= set(map(str, range(1, early + 1))):
        raise UserError(f"it has no exits “{_quoted(link.off)}” to switch off.")
    off = link.off.split(",")
    enabled = [str(number) not in off for number in range(1, early + 1)]
    temperatures = [_value(word) for word in link.temperatures.split(",") if word]
    policy = Policy(criterion, values or base.thresholds, enabled, temperatures or None)
    policy.check(card.num_exits)
    return policy


def _value(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise UserError(f"“{_quoted(word)}” is no number.") from None


def follow_address() -> None:
    """After Back or Forward, let all that the page shows be what the address says."""
    moved = _in_history() and bool(st.query_params)
    st.session_state[_FOLLOWED] = set() if moved else None


def _in_history() -> bool:
    return bool(getattr(get_script_run_ctx(), "is_history_navigation", False))


def follows(key: str) -> bool:
    """Whether something that the session keeps has to be read from the address: once per run."""
    followed = st.session_state.get(_FOLLOWED)
    if followed is None or key in followed:
        return False
    followed.add(key)
    return True


def open_view(models: Sequence[str], card_of: Callable[[str], Card], retune: Retune) -> View:
    """Return the session's view, read from the URL when the session is new."""
    if _VIEW not in st.session_state or follows(_VIEW) or view().model not in models:
        found = read_view(st.query_params, models, card_of, retune)
        st.session_state[_VIEW], _ = found
        st.session_state[_INSTEAD] = found
    return view()


def shown_instead(key: str = _INSTEAD, current: View | None = None) -> str:
    """Return what a link wanted while what was shown in its place still is, or "".

    Args:
        key: of the session, under which stand what was shown, and a sentence.
        current: view; by default the one that all pages share.
    """
    shown, sentence = st.session_state.get(key, (None, ""))
    return sentence if shown == (current or st.session_state.get(_VIEW)) else ""


def view() -> View:
    """Return the session's view."""
    current = st.session_state[_VIEW]
    assert isinstance(current, View)
    return current


def choose(chosen: View) -> None:
    """Look at all of this instead."""
    st.session_state[_VIEW] = chosen


def change(**changes: Any) -> None:
    """Change some of the view."""
    choose(replace(view(), **changes))


def choose_model(name: str, card: Card) -> None:
    """Look at another model, with the policy its card recommends.

    The sample keeps its number, so it stays the same within a data set.
    """
    change(model=name, policy=card.default_policy)


def choose_policy(policy: Policy) -> None:
    """Decide by another policy."""
    change(policy=policy)


def write_url(more: Mapping[str, str] | None = None) -> None:
    """Bring the URL up to date, so that it can be copied at any time.

    Args:
        more: parameters that only this page understands.
    """
    query = view().to_query() | own_query() | dict(more or {})
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)
