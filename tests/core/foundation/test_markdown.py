from pathlib import Path

import pytest

from core.foundation.errors import UserError
from core.foundation.markdown import markdown_table, replace_between


def test_a_table_has_a_heading_and_rows() -> None:
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before <begin> old <end> after")
    replace_between(page, "<begin>", "<end>", "new")
    assert page.read_text() == "before <begin>\nnew\n<end> after"
    with pytest.raises(UserError, match="marks"):
        replace_between(page, "<begin>", "<nowhere>", "newer")
    assert page.read_text() == "before <begin>\nnew\n<end> after"
