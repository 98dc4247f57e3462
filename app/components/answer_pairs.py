"""A table of samples with what two configurations answer to each; each answer is a button."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.components.mount import component

Letter = Literal["a", "b"]
_show = component("answer_pairs")


@dataclass(frozen=True)
class Answer:
    """Of one configuration: where the sample leaves, the class, its probability."""

    exit: str
    answer: str
    right: bool | None
    probability: str


@dataclass(frozen=True)
class Pair:
    """One sample.

    Attributes:
        number: what it reports when it is picked.
        image: its URI, or None.
        name: what it is called.
        truth: the class it is; "" where unknown.
        a: answer of A.
        b: answer of B.
        change: from A to B, in words.
    """

    number: int
    image: str | None
    name: str
    truth: str
    a: Answer
    b: Answer
    change: str


def answer_pairs(
    rows: Sequence[Pair],
    label: str,
    on_pick: Callable[[int, Letter], None] | None,
    *,
    key: str,
) -> None:
    """Show the rows.

    Args:
        rows: of samples.
        label: of the whole, for a screen reader.
        on_pick: is told the number of a sample and which side of it was clicked. The number may
            be any whole one that a browser sends. Without it nothing can be clicked.
        key: of the table, unique on the page.
    """

    def picked(value: Any) -> None:
        match value:
            case [int(number), "a" | "b" as letter] if on_pick is not None:
                on_pick(number, letter)

    data = {"label": label, "rows": [asdict(row) for row in rows], "opens": on_pick is not None}
    _show(key, data, picked=picked)
