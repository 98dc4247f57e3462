"""Which classes are still possible after each exit: class by exit, for one image or for many."""

from collections.abc import Callable, Sequence

from app import text
from app.components.html import TOTAL, Cell, Column, Row, table


def of_one_image(
    classes: Sequence[str],
    exits: Sequence[str],
    left: Sequence[Sequence[bool]],
    probabilities: Sequence[Sequence[float]],
    reached: Sequence[bool],
) -> str:
    """Return the table of one image.

    Args:
        classes: K names.
        exits: names of the exits shown.
        left: per exit K flags, whether the class is still possible after it.
        probabilities: per exit K.
        reached: per exit, whether the image got there.
    """

    def cell(exit_index: int, label: int) -> Cell:
        faded = "" if reached[exit_index] else " ee-faded"
        if not left[exit_index][label]:
            return Cell("✕", f'class="ee-out{faded}" aria-label="ruled out"')
        share = probabilities[exit_index][label]
        tint = f'class="ee-in{faded}" style="--share:{0.12 + 0.6 * share:.3f}"'
        return Cell(text.percent(share), tint)

    return _grid(classes, exits, cell)


def of_many_images(
    classes: Sequence[str],
    exits: Sequence[str],
    shares: Sequence[Sequence[float]],
    counts: Sequence[float],
) -> str:
    """Return the table of many images.

    Args:
        classes: K names.
        exits: names of the exits shown.
        shares: per exit K, the part of the images there for which the class is still possible.
        counts: per exit, how many classes are left on average.
    """

    def cell(exit_index: int, label: int) -> Cell:
        share = shares[exit_index][label]
        return Cell(text.percent(share), f'class="ee-in" style="--share:{0.72 * share:.3f}"')

    mean = ["classes left, on average", *(f"{count:.2f}" for count in counts)]
    return _grid(classes, exits, cell, Row(mean, TOTAL))


def _grid(
    classes: Sequence[str], exits: Sequence[str], cell: Callable[[int, int], Cell], *last: Row
) -> str:
    rows = [
        Row([name, *(cell(exit_index, label) for exit_index in range(len(exits)))])
        for label, name in enumerate(classes)
    ]
    return table([Column("class"), *map(Column, exits)], [*rows, *last], "ee-alive")
