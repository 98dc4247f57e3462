"""The explorer knows what the user's own files register."""

from pathlib import Path

import pytest

from core.exits.criteria import CRITERIA
from core.foundation.plugins import PLUGINS
from tests.app.pages import errors, opened
from tests.core.foundation.test_plugins import PLUGIN


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mine.py"
    monkeypatch.setenv(PLUGINS, str(path))
    monkeypatch.setitem(CRITERIA, "coin", None)
    monkeypatch.delitem(CRITERIA, "coin")
    return path


def test_a_criterion_of_ones_own_is_in_the_menu(plugin: Path) -> None:
    plugin.write_text(PLUGIN)
    app = opened("model=eenet8-mnist")
    assert errors(app) == []
    assert "coin" in CRITERIA
    assert "Coin" in app.selectbox(key="criterion").options


def test_a_plugin_that_fails_is_a_sentence(plugin: Path) -> None:
    plugin.write_text("1 / 0")
    (error,) = errors(opened())
    assert "its line 1 fails with ZeroDivisionError" in error
