"""A contest of visitors: more right answers than the line of best thresholds, for little."""

from dataclasses import dataclass

import streamlit as st

from app import resources
from app.state import View
from core.foundation.errors import UserError
from core.hub.card import Card

LIMIT = 0.3
"""Relative cost that may be spent, unless the first exit alone costs nearly as much."""


@dataclass(frozen=True)
class Standing:
    """How a contest stands.

    Attributes:
        limit: relative cost that may be spent.
        line: accuracy that the best policies of calibration reach within it.
        own: the best of this visitor, or None.
        room: the best of all visitors that the server remembers, or None.
    """

    limit: float
    line: float
    own: float | None
    room: float | None


def challenge(card: Card, view: View) -> Standing | None:
    """Enter a visitor's policy, and return how the contest of its model stands.

    All is measured on the split that the model's figures are of. None where the line has no policy
    within the limit.
    """
    split = resources.shown_split(view.model)
    first = float(card.costs.alone()[0])
    limit = LIMIT if first < 0.75 * LIMIT else round((1 + 2 * first) / 3 * 20) / 20
    try:
        costs, accuracies, _ = resources.front_on(
            view.model, view.policy.criterion, view.policy.temperatures, split
        )
    except UserError:  # no labelled calibration images
        return None
    within = accuracies[costs <= limit]
    if not len(within):
        return None
    report = resources.report_on(view.model, split, view.policy)
    key = f"challenge {resources.version_of(view.model)}"
    entered = report.accuracy if report.relative_cost <= limit else None
    own = _better(st.session_state.get(key), entered)
    room = _better(resources.RESULTS.find(key), own)
    st.session_state[key] = own
    if room is not None:
        resources.RESULTS.keep(key, room)
    return Standing(limit, float(within.max()), own, room)


def _better(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)
