"""Tables of figures, right-aligned, with an explanation under each heading."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

from app import wording


@dataclass(frozen=True)
class Column:
    """A heading and what it means."""

    title: str
    meaning: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: of the line.
        share: in [0, 1], drawn as a bar.
        cells: the other figures, as text.
        kind: "", "off" (out of use) or "total".
    """

    name: str
    share: float
    cells: Sequence[str]
    kind: str = ""


def figures(columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Show a table: the rows' names, their shares, and a cell for each further column."""
    head = "".join(
        f'<th scope="col"{_title(column.meaning)}>{escape(column.title)}</th>' for column in columns
    )
    body = "".join(_row(row) for row in rows)
    st.html(
        f'<div class="ee-table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _title(meaning: str) -> str:
    return f' title="{escape(meaning)}"' if meaning else ""


def _row(row: Row) -> str:
    kind = f' class="ee-{row.kind}"' if row.kind else ""
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in row.cells)
    bar = f'<span class="ee-share"><i style="width:{row.share:.2%}"></i></span>'
    return (
        f'<tr{kind}><th scope="row">{escape(row.name)}</th>'
        f"<td>{bar}<b>{wording.percent(row.share)}</b></td>{cells}</tr>"
    )
