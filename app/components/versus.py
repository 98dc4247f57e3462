"""Two configurations in tables: figure by figure, and who went from where to where."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from core.exits.table import IntArray

A, B = '<i class="ee-side-a">●</i> A', '<i class="ee-side-b">■</i> B'


@dataclass(frozen=True)
class Line:
    """One figure of both, and by how much B differs."""

    title: str
    a: str
    b: str
    change: str
    meaning: str = ""


def versus(lines: Sequence[Line]) -> str:
    """Return a table with a line for each figure."""
    rows = "".join(
        f'<tr><th scope="row"{_title(line.meaning)}>{escape(line.title)}</th>'
        f"<td>{escape(line.a)}</td><td>{escape(line.b)}</td><td>{escape(line.change)}</td></tr>"
        for line in lines
    )
    return (
        '<div class="ee-table ee-versus"><table><thead><tr><th scope="col">Figure</th>'
        f'<th scope="col">{A}</th><th scope="col">{B}</th><th scope="col">B against A</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _title(meaning: str) -> str:
    return f' title="{escape(meaning)}"' if meaning else ""


def crossing(counts: IntArray, names_a: Sequence[str], names_b: Sequence[str]) -> str:
    """Return how many samples leave at which exit of A and which of B.

    Args:
        counts: (E of A, E of B).
        names_a: of the exits of A.
        names_b: of those of B.
    """
    head = "".join(f'<th scope="col">{B} <br>{escape(name)}</th>' for name in names_b)
    most = max(int(counts.max()), 1)
    rows = "".join(
        f'<tr><th scope="row">{A}: {escape(name)}</th>'
        + "".join(
            f'<td style="--share:{55 * count / most:.1f}%"'
            f"{' class=ee-none' if not count else ''}>{count:,}</td>"
            for count in row
        )
        + "</tr>"
        for name, row in zip(names_a, counts.tolist(), strict=True)
    )
    return (
        '<div class="ee-table ee-crossing"><table><thead><tr><th></th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
