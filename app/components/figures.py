"""Tables of figures, right-aligned, with an explanation behind each heading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from app import text


@dataclass(frozen=True)
class Column:
    """A heading, what it means, and the name of its cells."""

    name: str
    title: str
    meaning: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: how `live.js` finds it.
        title: of the line.
        share: in [0, 1], drawn as a bar.
        cells: the other figures as text, by the name of their column.
        kind: "", "off" (out of use) or "total".
    """

    name: str
    title: str
    share: float
    cells: Mapping[str, str]
    kind: str = ""


def figures(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return a table: the rows' titles, their shares, and a cell for each further column."""
    head = "".join(
        f'<th scope="col"{_title(column.meaning)}>{escape(column.title)}</th>' for column in columns
    )
    names = [column.name for column in columns[2:]]
    body = "".join(_row(row, names) for row in rows)
    return (
        f'<div class="ee-table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _title(meaning: str) -> str:
    return f' title="{escape(meaning)}"' if meaning else ""


def _row(row: Row, names: Sequence[str]) -> str:
    kind = f' class="ee-{row.kind}"' if row.kind else ""
    cells = "".join(
        f'<td data-cell="{name}">{escape(row.cells.get(name, text.MISSING))}</td>' for name in names
    )
    bar = f'<span class="ee-share"><i style="width:{row.share:.2%}"></i></span>'
    return (
        f'<tr data-row="{row.name}"{kind}><th scope="row">{escape(row.title)}</th>'
        f"<td>{bar}<b>{text.percent(row.share)}</b></td>{cells}</tr>"
    )
