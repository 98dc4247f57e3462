"""The README promises what works."""

import re
import shlex
from pathlib import Path

import pytest

from core.cli.main import main
from core.hub.registry import shipped_models
from core.training.recipe import recipe_names

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(example, {})
    labels, accuracy = capsys.readouterr().out.strip().rsplit("\n", 1)
    assert labels
    assert 0.5 < float(accuracy) < 1


def test_the_command_lines_name_commands_models_and_recipes_that_are_there() -> None:
    lines = re.findall(r"^    python -m core +(.*)$", TEXT, re.MULTILINE)
    assert len(lines) >= 7
    for line in lines:
        words = shlex.split(line, comments=True)
        assert main([*words[: 2 if words[0] == "data" else 1], "--help"]) == 0
        named = [word for word in words if re.fullmatch(r"(ee|res)net\d+-\w+", word)]
        assert set(named) <= {*shipped_models(), *recipe_names()}


def test_the_pictures_are_there() -> None:
    for path in re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT):
        assert (ROOT / path).is_file()
