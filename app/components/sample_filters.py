"""Filters of the Samples page: which samples, in what order, and which of them is open."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import streamlit as st

from app import text
from app.components.score_range import Bars, Histogram, score_range
from app.components.widgets import bound
from app.sample_sources import SampleSource
from app.state import Settings, choice, number, parameter, whole
from core.analysis.samples import ORDERS, Order, Selection, score_bars, select, within_steps
from core.exits.criteria import CRITERIA
from core.exits.routing import Flip, Routing
from core.hub.card import Card

BINS = 50
_ANY, _ALL_CLASSES = "any", "All classes"
_FLIPS = {_ANY: "Any", "rescued": "Rescued", "ruined": "Ruined"}
_VERDICTS = {_ANY: "Any", "right": "✓ Right", "wrong": "✗ Wrong"}
_AGREEMENTS = {_ANY: "Any", "agrees": "= Agrees", "differs": "≠ Differs"}
SLICES = {"kept": "Kept", "class": "By class"}
_ORDERS = {"data": "As in the data", "least_sure": "Least sure first", "most_sure": "Surest first"}
_LABELLED = ("label", "verdict", "flip")  # known only with labels
_UNLABELLED = ("answer", "agreement")
_SELECTING = ("exit_number", "low", "high", *_LABELLED, *_UNLABELLED)


@dataclass(frozen=True)
class Filters:
    """The choices of the Samples page. What is empty, or 0, is left open.

    Attributes:
        source: name of an `app.sample_sources.SampleSource`.
        exit_number: counted from 1.
        label: name of a class.
        verdict: "right" or "wrong".
        flip: "rescued" or "ruined".
        low: one end of the range of scores.
        high: the other end.
        order: one of `core.analysis.samples.ORDERS`.
        page: counted from 1.
        opened: number of the open sample, as its title has it; -1 for none.
        answer: name of the class that is answered.
        agreement: "agrees" or "differs", with what the last exit answers.
        why: what is looked at of what goes along with leaving late.
        slices: which are shown, a word of `SLICES`.
    """

    source: str = parameter("of", "")
    exit_number: int = parameter("exit", 0, whole())
    label: str = parameter("class", "")
    verdict: str = parameter("answer", "", choice(_VERDICTS.keys() - {_ANY}))
    flip: str = parameter("flip", "", choice(_FLIPS.keys() - {_ANY}))
    low: float = parameter("from", 0.0, number(0, 1), "{:g}".format)
    high: float = parameter("to", 1.0, number(0, 1), "{:g}".format)
    order: str = parameter("order", ORDERS[0], choice(ORDERS))
    page: int = parameter("page", 1, whole(1))
    opened: int = parameter("open", -1, whole())
    answer: str = parameter("taken", "")
    agreement: str = parameter("last", "", choice(_AGREEMENTS.keys() - {_ANY}))
    why: str = parameter("why", "")
    slices: str = parameter("slices", "", choice(SLICES))

    def only_selecting(self, labelled: bool) -> "Filters":
        """Return just what selects images of any model, see `selection`."""
        unused = _UNLABELLED if labelled else _LABELLED
        return Filters(
            **{field: getattr(self, field) for field in _SELECTING if field not in unused}
        )

    def fits(self, card: Card, labelled: bool) -> bool:
        """Return whether `selection` leaves nothing open that is chosen here."""
        unused = _UNLABELLED if labelled else _LABELLED
        return (
            self.exit_number <= card.num_exits
            and {self.label, self.answer} <= {"", *card.classes}
            and not any(getattr(self, field) for field in unused)
        )

    @property
    def by_label_alone(self) -> bool:
        """Whether nothing that a network does takes part in selecting images."""
        return self == Filters(label=self.label)

    def told(self, num_exits: int) -> str:
        """Return what is selected in a few words, such as "Exit 1, bird, wrong"."""
        low, high = sorted((self.low, self.high))
        parts = (
            text.exit_name(self.exit_number - 1, num_exits) if self.exit_number else "",
            self.label,
            self.answer and f"taken for {self.answer}",
            self.verdict,
            self.flip,
            {"agrees": "agrees with the last exit", "differs": "differs from the last exit"}.get(
                self.agreement, ""
            ),
            f"score {low:g} to {high:g}" if (low, high) != (0, 1) else "",
        )
        return ", ".join(part for part in parts if part) or "all images"

    def selection(self, card: Card, labelled: bool = True) -> Selection:
        """Return the selection among a model's samples; what it does not have is left open.

        Args:
            card: of the model.
            labelled: whether labels are known. With them, the answers are right or wrong; without,
                they only agree with the last exit's, or not.
        """
        common = Selection(
            exit_index=self.exit_number - 1 if 1 <= self.exit_number <= card.num_exits else None,
            low=min(self.low, self.high),
            high=max(self.low, self.high),
            order=cast(Order, self.order),
        )
        if not labelled:
            return replace(
                common,
                answer=card.classes.index(self.answer) if self.answer in card.classes else None,
                agrees={"agrees": True, "differs": False}.get(self.agreement),
            )
        return replace(
            common,
            label=card.classes.index(self.label) if self.label in card.classes else None,
            right={"right": True, "wrong": False}.get(self.verdict),
            flip=cast(Flip, self.flip) if self.flip else None,
        )


FILTERS = Settings("filters", Filters)


def choose(**changes: Any) -> None:
    """Change some filters. A new filter or order starts at the first page."""
    first = {} if {"page", "opened", "why", "slices"} & changes.keys() else {"page": 1}
    FILTERS.change(**first, **changes)


def clear() -> None:
    """Leave everything open again, but stay with the same source and order."""
    show(Filters())


def show(kept: Filters) -> None:
    """Select what other filters select, but stay with the same source and order."""
    choose(**{field: getattr(kept, field) for field in _SELECTING})


def filter_row(card: Card, source: SampleSource) -> None:
    """Show the filters by class, answer and flip, and the order."""
    now = FILTERS.now
    label, verdict, flip, order = st.columns([1.1, 1.5, 1.6, 1.2], gap="medium")
    with order:
        bound(
            st.selectbox,
            "Order",
            ORDERS,
            key="order",
            value=now.order,
            choose=lambda order: choose(order=order),
            format_func=_ORDERS.__getitem__,
            help="By the score at the exit where an image left, or as they come.",
        )
    with label:
        _class(card, source, now)
    if source.labelled:
        with verdict:
            _among(
                "Answer",
                "verdict",
                _VERDICTS,
                "Whether the answer at the exit where the image left is right.",
            )
    if card.num_exits > 1:
        with flip if source.labelled else verdict:
            if source.labelled:
                _among(
                    "Flips",
                    "flip",
                    _FLIPS,
                    "**Rescued**: right early, while the last exit would have been wrong. "
                    "**Ruined**: wrong early, while the last exit would have been right.",
                )
            else:
                _among(
                    "Last exit",
                    "agreement",
                    _AGREEMENTS,
                    "Whether the last exit would have given the same answer. These images have no "
                    "labels, so it is not known which answers are right.",
                )


def _class(card: Card, source: SampleSource, now: Filters) -> None:
    field, value = ("label", now.label) if source.labelled else ("answer", now.answer)
    bound(
        st.selectbox,
        "Class" if source.labelled else "Answered",
        [_ALL_CLASSES, *card.classes],
        key="class",
        value=value if value in card.classes else _ALL_CLASSES,
        choose=lambda name: choose(**{field: "" if name == _ALL_CLASSES else name}),
        help="What the image really shows, whatever the network answered."
        if source.labelled
        else "What the network answered.",
    )


def _among(title: str, field: str, options: Mapping[str, str], help: str) -> None:
    bound(
        st.segmented_control,
        title,
        list(options),
        key=field,
        value=getattr(FILTERS.now, field) or _ANY,
        choose=lambda name: choose(**{field: "" if name == _ANY else name}),
        required=True,
        format_func=options.__getitem__,
        help=help,
    )


def score_filter(card: Card, source: SampleSource, routing: Routing) -> None:
    """Show the histogram of scores, on which a range can be chosen."""
    now = FILTERS.now
    criterion = CRITERIA[routing.policy.criterion]
    last = (
        "At the final exit, which needs no score, it is the probability of the answer."
        if criterion.needs_confidence
        else "The final exit needs none, but has one all the same."
    )
    selection = now.selection(card, source.labelled)
    positions = select(routing, replace(selection, low=0.0, high=1.0))
    below, at_most = within_steps(routing.scores[positions])
    up, down, by_label = score_bars(routing, positions, BINS)
    names = ("right", "wrong") if by_label else ("agrees with the last exit", "differs")
    histogram = Histogram(
        title=f"{criterion.title}: score at the exit it used",
        help=f"{criterion.title} at the exit where the image left. {last} Drag over the bars "
        "to choose a range, drag the range to move it, click beside it to have all again; the "
        "handles also move with the arrow keys. Heights grow with the logarithm of the count.",
        up=Bars(names[0], up.tolist()),
        down=Bars(names[1], down.tolist()),
        below=below.tolist(),
        at_most=at_most.tolist(),
        low=selection.low,
        high=selection.high,
    )
    score_range(histogram, lambda low, high: choose(low=low, high=high))
