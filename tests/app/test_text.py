import ast
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import text


@pytest.mark.parametrize(
    ("value", "read"),
    [(0, "0"), (1, "1"), (0.5, "0.500"), (0.99996, "0.99996"), (1e-9, "0.000000")],
)
def test_scores_are_told_from_0_and_1(value: float, read: str) -> None:
    assert text.score(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [(0, "0 points"), (0.003, "0.3 points"), (0.01, "1 point"), (math.nan, "–")],
)
def test_points(value: float, read: str) -> None:
    assert text.points(value) == read


@pytest.mark.parametrize(
    ("ratio", "read"), [(0.5, "× 0.50"), (1, "× 1.00"), (17.04, "× 17.0"), (1234.5, "× 1,234")]
)
def test_ratios(ratio: float, read: str) -> None:
    assert text.times(ratio) == read


@pytest.mark.parametrize(
    ("count", "read"),
    [(12, "12"), (72_100, "72.1 k"), (942_000, "942 k"), (40_813_184, "40.8 M"), (4.1e9, "4.10 G")],
)
def test_macs_have_three_figures(count: int, read: str) -> None:
    assert text.macs(count) == read


@pytest.mark.parametrize(
    ("joules", "read"), [(0, "none"), (12.5, "12.5 J"), (0.0123, "12.3 mJ"), (4.2e-7, "0.420 µJ")]
)
def test_energies_have_three_figures(joules: float, read: str) -> None:
    assert text.energy(joules).replace("\N{NO-BREAK SPACE}", " ") == read


def test_a_small_share_is_not_called_nothing() -> None:
    assert text.share(0.0001) == "0.01\N{NO-BREAK SPACE}%"
    assert text.share(0) == "0.0\N{NO-BREAK SPACE}%"
    assert text.share(0.25) == "25.0\N{NO-BREAK SPACE}%"


def test_differences_have_their_sign() -> None:
    assert text.signed(0.5, "5 points") == "+5 points"
    assert text.signed(-0.5, "5 points") == "−5 points"
    assert text.signed(0, "0 points") == "±0 points"
    assert text.signed(float("nan"), "–") == "–"


def test_chances_are_told_as_odds() -> None:
    assert text.odds(1.0) == "100 of 100"
    assert text.odds(0.64) == "64 of 100"
    assert text.odds(0.02) == "1 of 50"
    assert text.odds(0.0000024) == "1 of 420,000"
    assert text.odds(0.0) == "fewer than 1 of a million"


@pytest.mark.parametrize(
    ("mistake", "read"),
    [
        ("expected 2 exits, but got 3; add one.", "This needs 2 exits, not 3. Add one."),
        ("expected a model, but got none.", "This needs a model, and there is none."),
        ("It failed: expected x, but it is y.", "It failed: This needs x, but it is y."),
        ("Something went wrong.", "Something went wrong."),
    ],
)
def test_mistakes_are_told_in_plain_words(mistake: str, read: str) -> None:
    assert text.told(mistake) == read


RIDDLES = (
    r"spoil(?!\")|standings?\b|albums?\b|heated|heats|shelf|workshop|riddle|Surety|asked|nobody"
)
SEEN_RIDDLES = (
    r"whoever|had all|who (leaves|scores|does)|just made it|strangest|too dear|called like|"
    r"where it left|promise|lossless|lose nothing|\bmends\b|\bspoils\b"
)
APP = Path(__file__).parents[2] / "app"


def test_no_text_of_the_app_speaks_in_riddles() -> None:
    """The field's words instead, see *Plain words* among the rules of style."""
    for file in sorted(APP.rglob("*.py")):
        found = re.search(RIDDLES, file.read_text(encoding="utf-8"))
        assert found is None, f"{file.name}: {found.group() if found else ''}"


def test_what_visitors_read_is_in_plain_words() -> None:
    found = [
        f"{file.name}: {words}"
        for file in sorted(APP.rglob("*.py"))
        for words in visible(ast.parse(file.read_text(encoding="utf-8")))
        if re.search(SEEN_RIDDLES, words, re.IGNORECASE)
    ]
    assert found == []


def visible(tree: ast.Module) -> Iterator[str]:
    """The texts of a module with more than a word, without what explains the code."""
    explains = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    for one in ast.walk(tree):
        is_text = isinstance(one, ast.Constant) and isinstance(one.value, str)
        if is_text and id(one) not in explains and " " in one.value.strip():
            yield one.value
