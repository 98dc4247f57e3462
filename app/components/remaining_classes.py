"""Which classes are still possible after each exit: class by exit, for one image or for many."""

from collections.abc import Callable, Sequence
from html import escape

from app import text

Cell = Callable[[int, int], str]
"""Draws the cell of an exit and a class."""


def classes_left(
    classes: Sequence[str],
    exits: Sequence[str],
    left: Sequence[Sequence[bool]],
    probabilities: Sequence[Sequence[float]],
    reached: Sequence[bool],
) -> str:
    """Return the picture of one image.

    Args:
        classes: K names.
        exits: names of the exits shown.
        left: per exit K flags, whether the class is still possible after it.
        probabilities: per exit K, as the exit says.
        reached: per exit, whether the image got there.
    """

    def cell(exit_index: int, label: int) -> str:
        faded = "" if reached[exit_index] else " ee-faded"
        if not left[exit_index][label]:
            return f'<td class="ee-out{faded}" aria-label="ruled out">✕</td>'
        share = probabilities[exit_index][label]
        return (
            f'<td class="ee-in{faded}" style="--share:{0.12 + 0.6 * share:.3f}">'
            f"{text.percent(share)}</td>"
        )

    return _grid(classes, exits, cell)


def classes_left_of_many(
    classes: Sequence[str],
    exits: Sequence[str],
    shares: Sequence[Sequence[float]],
    counts: Sequence[float],
) -> str:
    """Return the picture of many images.

    Args:
        classes: K names.
        exits: names of the exits shown.
        shares: per exit K, the part of the images there for which the class is still possible.
        counts: per exit, how many classes are left on average.
    """

    def cell(exit_index: int, label: int) -> str:
        share = shares[exit_index][label]
        return f'<td class="ee-in" style="--share:{0.72 * share:.3f}">{text.percent(share)}</td>'

    total = "".join(f"<td>{count:.2f}</td>" for count in counts)
    last = f'<tr class="ee-total"><th scope="row">classes left, on average</th>{total}</tr>'
    return _grid(classes, exits, cell, last)


def _grid(classes: Sequence[str], exits: Sequence[str], cell: Cell, last: str = "") -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in exits)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(cell(exit_index, label) for exit_index in range(len(exits)))
        + "</tr>"
        for label, name in enumerate(classes)
    )
    return (
        f'<div class="ee-table ee-alive"><table><thead><tr><th scope="col">class</th>{head}</tr>'
        f"</thead><tbody>{rows}{last}</tbody></table></div>"
    )
