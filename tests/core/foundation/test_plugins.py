"""Files of the user's run once, and what is wrong with them is a sentence that names the line."""

import os
from pathlib import Path

import pytest

from core.cli.main import main
from core.exits.criteria import CRITERIA
from core.foundation.errors import UserError
from core.foundation.plugins import (
    FACTORY,
    PLUGINS,
    load_function,
    load_plugins,
    own_factory,
)

PLUGIN = """
import core

@core.criterion("coin", "Coin", "Half the time.")
def coin(table, exit_index):
    return table.probabilities[:, exit_index].max(axis=1) * 0 + 0.5
"""


@pytest.fixture(autouse=True)
def registries_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLUGINS, "")
    monkeypatch.setitem(CRITERIA, "coin", None)
    monkeypatch.delitem(CRITERIA, "coin")


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


def test_a_plugin_registers_what_commands_then_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, PLUGIN)
    line = ["tune", "eenet8-mnist", "--max-drop", "1", "--criterion", "coin"]
    assert main(line) == 2
    capsys.readouterr()
    assert main([*line, "--plugin", str(path)]) == 0
    assert "coin: block1 > " in capsys.readouterr().out
    assert main([f"--plugin={path}", *line]) == 0  # it runs once only
    assert os.environ[PLUGINS] == str(path)


def test_plugins_of_the_environment_are_loaded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLUGINS, f"{written(tmp_path, PLUGIN)}{os.pathsep}")
    load_plugins()
    assert "coin" in CRITERIA


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\nraise KeyError('lost')", "line 3 fails with KeyError: 'lost'"),
        ("x = 1\ndef broken(:", "line 2 fails with SyntaxError: "),
        (PLUGIN.replace('"coin"', '"margin"'), "line 4 fails with expected a new name"),
        ("import json\njson.loads('{')", "line 2 fails with JSONDecodeError"),
    ],
)
def test_what_is_wrong_names_the_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, text)
    for _ in range(2):  # not only at the first time
        assert main(["models", "--plugin", str(path)]) == 2
        told = capsys.readouterr()
        assert f"the plugin {path} to load, but its {message}" in told.err
        assert told.out == ""


def test_a_missing_plugin_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--plugin", "nowhere.py"]) == 2
    assert "nowhere.py to be a Python file, but there is none" in capsys.readouterr().err


def test_a_function_is_found_by_file_and_name(tmp_path: Path) -> None:
    path = written(tmp_path, "def make():\n    return 7\nnumber = 1\n")
    assert load_function(f"{path}:make")() == 7
    with pytest.raises(UserError, match=r"none\. Did you mean 'make'"):
        load_function(f"{path}:maek")
    for reference in (str(path), f"{path}:", "make"):
        with pytest.raises(UserError, match=r"FILE\.py:FUNCTION"):
            load_function(reference)
    with pytest.raises(UserError, match="'number' in"):
        load_function(f"{path}:number")


def test_a_factory_is_named_anywhere_in_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FACTORY, "")
    assert own_factory() is None
    path = written(tmp_path, "def make():\n    return 7\n")
    assert main(["tune", "--factory", f"{path}:make", "eenet8-mnist", "--max-drop", "1"]) == 0
    made = own_factory()
    assert made is not None
    assert made() == 7
    assert main(["models", f"--factory={path}:maek"]) == 2
    assert "Did you mean 'make'" in capsys.readouterr().err
