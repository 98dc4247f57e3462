"""Words in a frame, facts in a list, and figures in a table."""

from collections.abc import Sequence
from html import escape

from app.components.figures import Column


def box(title: str, says: str, icon: str, tone: str = "") -> str:
    """Return a framed paragraph. ``says`` is HTML of our own; ``tone`` "" or "warning"."""
    return (
        f'<aside class="ee-box" data-tone="{tone}"><b class="ee-box-icon">{icon}</b>'
        f"<div><h3>{escape(title)}</h3><p>{says}</p></div></aside>"
    )


def facts(items: Sequence[tuple[str, str]]) -> str:
    """Return what is known as pairs of a name and a value."""
    pairs = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in items
    )
    return f'<dl class="ee-facts">{pairs}</dl>'


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], total: bool = False) -> str:
    """Return a table of texts; the first of a row is its title, the last row may be a total."""
    head = "".join(
        f'<th scope="col"{_meaning(column)}>{escape(column.title)}</th>' for column in columns
    )
    body = "".join(_row(row, total and row is rows[-1]) for row in rows)
    return (
        '<div class="ee-box-table"><div class="ee-table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></div>"
    )


def _meaning(column: Column) -> str:
    return f' title="{escape(column.meaning)}"' if column.meaning else ""


def _row(row: Sequence[str], total: bool) -> str:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
    kind = ' class="ee-total"' if total else ""
    return f'<tr{kind}><th scope="row">{escape(row[0])}</th>{cells}</tr>'
