"""What the Samples page shows: which samples, in what order, and which of them is open.

Like the rest of the view it is kept in the session and written into the URL.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import streamlit as st

from app.state import number_of, whole_of
from core.analysis.samples import FLIPS, ORDERS, Order, Selection
from core.hub.card import Card

_BROWSING = "browsing"
RIGHT, WRONG = "right", "wrong"
AGREES, DIFFERS = "agrees", "differs"


@dataclass(frozen=True)
class Browsing:
    """The choices of the Samples page. What is empty, or 0, is left open.

    Attributes:
        album: name of an `app.sample_sources.Album`.
        exit_number: counted from 1.
        label: name of a class.
        verdict: `RIGHT` or `WRONG`.
        flip: one of `core.analysis.samples.FLIPS`.
        low: least score.
        high: greatest score.
        order: one of `core.analysis.samples.ORDERS`.
        page: counted from 1.
        opened: position of the open sample in its table, counted from 1.
        taken: name of the class that is answered.
        last: `AGREES` or `DIFFERS`, what the last exit would have answered.
    """

    album: str = ""
    exit_number: int = 0
    label: str = ""
    verdict: str = ""
    flip: str = ""
    low: float = 0.0
    high: float = 1.0
    order: str = ORDERS[0]
    page: int = 1
    opened: int = 0
    taken: str = ""
    last: str = ""

    def to_query(self) -> dict[str, str]:
        """Return the URL parameters that `from_query` understands."""
        nothing = Browsing()
        return {
            parameter: f"{getattr(self, name):g}"
            if name in ("low", "high")
            else str(getattr(self, name))
            for name, parameter in _PARAMETERS.items()
            if getattr(self, name) != getattr(nothing, name)
        }

    def selection(self, card: Card, labelled: bool = True) -> Selection:
        """Return what is meant among a model's samples; what it does not have is left open.

        Args:
            card: of the model.
            labelled: whether labels are known. With them, the answers are right or wrong; without,
                they are only what the last exit says as well, or not.
        """
        common = Selection(
            exit_index=self.exit_number - 1 if 1 <= self.exit_number <= card.num_exits else None,
            low=self.low,
            high=self.high,
            order=cast(Order, self.order),
        )
        if not labelled:
            return replace(
                common,
                answer=card.classes.index(self.taken) if self.taken in card.classes else None,
                agrees={AGREES: True, DIFFERS: False}.get(self.last),
            )
        return replace(
            common,
            label=card.classes.index(self.label) if self.label in card.classes else None,
            right={RIGHT: True, WRONG: False}.get(self.verdict),
            flip=self.flip if self.flip in FLIPS else None,
        )


_PARAMETERS = {
    "album": "of",
    "exit_number": "exit",
    "label": "class",
    "verdict": "answer",
    "flip": "flip",
    "low": "from",
    "high": "to",
    "order": "order",
    "page": "page",
    "opened": "open",
    "taken": "taken",
    "last": "last",
}


def from_query(query: Mapping[str, str]) -> Browsing:
    """Return what a URL describes; what is missing or wrong is left open."""
    low, high = (number_of(query.get(name, "")) for name in ("from", "to"))
    bottom = 0.0 if low is None else min(max(low, 0.0), 1.0)
    top = 1.0 if high is None else min(max(high, 0.0), 1.0)
    return Browsing(
        album=query.get("of", ""),
        exit_number=whole_of(query.get("exit", ""), 0),
        label=query.get("class", ""),
        verdict=_one_of(query.get("answer", ""), (RIGHT, WRONG), ""),
        flip=_one_of(query.get("flip", ""), FLIPS, ""),
        low=min(bottom, top),
        high=max(bottom, top),
        order=_one_of(query.get("order", ""), ORDERS, ORDERS[0]),
        page=max(whole_of(query.get("page", ""), 1), 1),
        opened=whole_of(query.get("open", ""), 0),
        taken=query.get("taken", ""),
        last=_one_of(query.get("last", ""), (AGREES, DIFFERS), ""),
    )


def _one_of(text: str, known: tuple[str, ...], otherwise: str) -> str:
    return text if text in known else otherwise


def browsing() -> Browsing:
    """Return the session's choices, read from the URL when the session is new."""
    if _BROWSING not in st.session_state:
        st.session_state[_BROWSING] = from_query(st.query_params)
    current = st.session_state[_BROWSING]
    assert isinstance(current, Browsing)
    return current


def browse(**changes: Any) -> None:
    """Change some choices. Whoever filters or orders anew starts at the first page."""
    first = {} if {"page", "opened"} & changes.keys() else {"page": 1}
    st.session_state[_BROWSING] = replace(browsing(), **{**first, **changes})


def start_over() -> None:
    """Leave everything open again, but stay with the same album and order."""
    now = browsing()
    st.session_state[_BROWSING] = Browsing(album=now.album, order=now.order, opened=now.opened)
