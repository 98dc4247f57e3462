"""Tables in Markdown, and the marks between which a file keeps one."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from core.foundation.errors import UserError
from core.foundation.files import atomic_path


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a heading."""
    head_line, *lines = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return "\n".join([head_line, "|---" * len(head) + "|", *lines])


def replace_between(path: Path, begin: str, end: str, content: str) -> None:
    """Replace what stands between two marks in a text file; all or nothing.

    Raises:
        UserError: a mark is missing.
    """
    text = path.read_text(encoding="utf-8")
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise UserError(f"expected the marks {begin} and {end} in {path}, but they are missing.")
    with atomic_path(path) as partial:
        partial.write_text(f"{before}{begin}\n{content}\n{end}{after}", encoding="utf-8")
