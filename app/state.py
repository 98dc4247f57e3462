"""What a visitor sees, in one place: kept in the session and written into the URL.

A link reproduces the view. Whatever a URL says is brought into range without complaint.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from core.analysis.corruptions import CORRUPTIONS
from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.hub.card import Card

_VIEW = "view"


@dataclass(frozen=True)
class View:
    """The choices that every page shares."""

    model: str
    policy: Policy
    sample: int = 0
    spoiler: str = ""
    severity: float = 0.0

    def to_query(self) -> dict[str, str]:
        """Return the URL parameters that `from_query` understands."""
        query = {"model": self.model, "criterion": self.policy.criterion}
        if self.policy.thresholds:
            query["thresholds"] = ",".join(map(repr, self.policy.thresholds))
        off = [str(number) for number, on in enumerate(self.policy.enabled, 1) if not on]
        if off:
            query["off"] = ",".join(off)
        if self.policy.temperatures is not None:
            query["temperatures"] = ",".join(map(repr, self.policy.temperatures))
        if self.sample:
            query["sample"] = str(self.sample)
        if self.spoiler:
            query["spoil"] = self.spoiler
            query["severity"] = f"{self.severity:g}"
        return query


def from_query(
    query: Mapping[str, str], models: Sequence[str], card_of: Callable[[str], Card]
) -> View:
    """Return the view that a URL describes; what is missing or wrong falls back to the model's.

    Args:
        query: the URL's parameters.
        models: names to choose from, at least one; the first is the default.
        card_of: gives the card of a name in ``models``.
    """
    model = query.get("model", "")
    if model not in models:
        model = models[0]
    card = card_of(model)
    spoiler = query.get("spoil", "")
    severity = number_of(query.get("severity", "")) or 0.0
    return View(
        model,
        _policy(query, card),
        whole_of(query.get("sample", ""), 0),
        spoiler if spoiler in CORRUPTIONS else "",
        min(max(severity, 0.0), 1.0),
    )


def _policy(query: Mapping[str, str], card: Card) -> Policy:
    base = card.default_policy
    criterion = query.get("criterion", "")
    if criterion not in card.criteria:
        criterion = base.criterion
    if "thresholds" not in query and criterion == base.criterion:
        return base
    given = [number_of(text) for text in query.get("thresholds", "").split(",")]
    thresholds = list(base.thresholds)
    for index, value in enumerate(given[: len(thresholds)]):
        if value is not None:
            thresholds[index] = min(max(value, 0.0), 1.0)
    off = {whole_of(text, 0) for text in query.get("off", "").split(",")}
    enabled = [number not in off for number in range(1, len(thresholds) + 1)]
    try:
        return Policy(criterion, thresholds, enabled, _temperatures(query, card))
    except UserError:
        return base


def _temperatures(query: Mapping[str, str], card: Card) -> list[float] | None:
    numbers = [number_of(text) for text in query.get("temperatures", "").split(",")]
    fine = [value for value in numbers if value is not None and 0 < value < math.inf]
    return fine if len(fine) == len(numbers) == card.num_exits else None


def number_of(text: str) -> float | None:
    """Return the number in a parameter, or None; never NaN."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def whole_of(text: str, otherwise: int) -> int:
    """Return the whole number, 0 or more, in a parameter."""
    # longer ones are no sample of anything, and slow to read
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise


def open_view(models: Sequence[str], card_of: Callable[[str], Card]) -> View:
    """Return the session's view, read from the URL when the session is new."""
    if _VIEW not in st.session_state or view().model not in models:
        st.session_state[_VIEW] = from_query(st.query_params, models, card_of)
    return view()


def view() -> View:
    """Return the session's view."""
    current = st.session_state[_VIEW]
    assert isinstance(current, View)
    return current


def choose_model(name: str, card: Card) -> None:
    """Look at another model, with the policy its card recommends.

    The sample keeps its number, so it stays the same within a data set.
    """
    st.session_state[_VIEW] = replace(view(), model=name, policy=card.default_policy)


def choose_policy(policy: Policy) -> None:
    """Decide by another policy."""
    st.session_state[_VIEW] = replace(view(), policy=policy)


def choose_criterion(criterion: str) -> None:
    """Judge by another score, with the thresholds as they stand."""
    choose_policy(replace(view().policy, criterion=criterion))


def choose_sample(number: int) -> None:
    """Look at another of the shipped samples."""
    st.session_state[_VIEW] = replace(view(), sample=number)


def choose_spoiler(name: str, severity: float) -> None:
    """Spoil the picture; ``name`` in `CORRUPTIONS`, or "" for not at all."""
    st.session_state[_VIEW] = replace(view(), spoiler=name, severity=severity)


def choose(chosen: View) -> None:
    """Look at all of this instead."""
    st.session_state[_VIEW] = chosen


def write_url(more: Mapping[str, str] | None = None) -> None:
    """Bring the URL up to date, so that it can be copied at any time.

    Args:
        more: parameters that only this page understands.
    """
    query = view().to_query() | dict(more or {})
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)


def link() -> str:
    """Return the whole address of this view."""
    from urllib.parse import urlencode

    return f"{st.context.url or ''}?{urlencode(view().to_query(), safe=',')}"
