"""What the Train page is set to; like the rest of the view, in the session and in the URL."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from app.state import number_of, whole_of
from core.training.lesson import LOSSES, MOST_EPOCHS, MOST_LAMBDA, PLACES, Lesson

_LESSON = "lesson"
MOST_SEED = 9999


def to_query(lesson: Lesson) -> dict[str, str]:
    """Return the URL parameters that `from_query` understands."""
    return {
        "loss": lesson.loss,
        "lambda": f"{lesson.lambda_cost:g}",
        "epochs": str(lesson.epochs),
        "exits": ",".join(lesson.exits),
        "seed": str(lesson.seed),
    }


def from_query(query: Mapping[str, str]) -> Lesson:
    """Return the settings that a URL describes; what is missing or wrong falls back."""
    usual = Lesson()
    loss = query.get("loss", "")
    price = number_of(query.get("lambda", ""))
    named = query.get("exits", "").split(",")
    return Lesson(
        loss=loss if loss in LOSSES else usual.loss,
        lambda_cost=usual.lambda_cost if price is None else min(max(price, 0.0), MOST_LAMBDA),
        epochs=min(max(whole_of(query.get("epochs", ""), usual.epochs), 1), MOST_EPOCHS),
        exits=tuple(place for place in PLACES if place in named) or usual.exits,
        seed=min(whole_of(query.get("seed", ""), usual.seed), MOST_SEED),
    )


def lesson() -> Lesson:
    """Return the session's settings, read from the URL when the session is new."""
    if _LESSON not in st.session_state:
        st.session_state[_LESSON] = from_query(st.query_params)
    current = st.session_state[_LESSON]
    assert isinstance(current, Lesson)
    return current


def choose(**changes: Any) -> None:
    """Change some settings."""
    st.session_state[_LESSON] = replace(lesson(), **changes)
