"""All that is wrong with a model is said at once, and nothing of one that is sound."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.foundation.errors import UserError
from core.hub.model import load
from core.hub.registry import card_of, model_folder
from core.hub.verify import faults

MODEL = "eenet8-mnist"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(model_folder(MODEL), tmp_path / "mine")


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "card.json"
    card = json.loads(path.read_text())
    edit(card)
    path.write_text(json.dumps(card))


def test_a_sound_model_has_no_faults(folder: Path) -> None:
    assert faults(folder) == []


def test_all_that_is_wrong_with_a_card_is_said_at_once(folder: Path) -> None:
    def edit(card: dict[str, Any]) -> None:
        card["std"] = [-1.0]
        card["per_exit_accuracy"]["test"][0] = 1.5
        card["plain"]["test_accuracy"] = -1
        del card["stage_macs"]

    change(folder, edit)
    found = " ".join(faults(folder))
    for field in ("std.0", "per_exit_accuracy.test.0", "plain.test_accuracy", "stage_macs"):
        assert field in found
    with pytest.raises(UserError, match="and 3 more"):
        load(folder)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("std", [1e308], "std.0"),
        ("std", [float("nan")], "NaN is no number"),
        ("classes", list("012345678"), "9 names"),
        ("stage_macs", [1, 2], "`stage_macs` has 2 numbers"),
        ("head_macs", [1, 2], "`head_macs` has 2 numbers"),
        ("stage_macs", [0, 0, 10**400], "stage_macs"),
        ("exit_names", ["a", "b", "final"], "`exit_names`"),
        ("per_exit_accuracy", {"test": [0.5, 0.5]}, "2 numbers for 3 exits"),
    ],
)
def test_a_card_that_contradicts_itself_is_not_believed(
    field: str, value: object, says: str, folder: Path
) -> None:
    change(folder, lambda card: card.update({field: value}))
    assert says in " ".join(faults(folder))
    with pytest.raises(UserError, match="expected"):
        card_of(folder)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("test", "exit_share"), [1.5, -0.5, 0.0], "exit_share.0"),
        (("test", "exit_share"), [0.5, 0.1, 0.1], "adds up to 0.7"),
        (("test", "relative_cost"), 0.01, "has `relative_cost` 0.01"),
        (("policy", "thresholds"), [0.5], "expected 2 thresholds"),
    ],
)
def test_an_operating_point_fits_its_network(
    place: tuple[str, str], value: object, says: str, folder: Path
) -> None:
    def edit(card: dict[str, Any]) -> None:
        card["operating_points"][0][place[0]][place[1]] = value
        if place[0] == "policy":
            card["operating_points"][0]["policy"]["enabled"] = [True]

    change(folder, edit)
    assert says in " ".join(faults(folder))


def test_figures_are_those_of_network_weights_and_table(folder: Path) -> None:
    def edit(card: dict[str, Any]) -> None:
        card["per_exit_accuracy"]["test"][0] -= 0.1
        card["operating_points"][0]["test"]["accuracy"] -= 0.001
        card["head_parameters"][0] += 1
        card["plain"]["test_accuracy"] -= 0.1
        card["sha256"] = "0" * 64

    change(folder, edit)
    found = faults(folder)
    for part in ("accuracies", "`accuracy`", "`head_parameters`", "plain network", "sha256"):
        assert any(part in fault for fault in found), part


def test_files_that_are_gone_or_damaged_are_named(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"x")
    (folder / "table.npz").unlink()
    found = " ".join(faults(folder))
    assert "weights.safetensors" in found
    assert "table.npz" in found
    (folder / "card.json").write_text("[" * 100_000 + "]" * 100_000)
    assert "nested deeper" in " ".join(faults(folder))


def test_a_table_of_another_model_is_none(folder: Path) -> None:
    shutil.copy(model_folder("eenet20-mnist") / "table.npz", folder / "table.npz")
    found = " ".join(faults(folder))
    assert "it has 4 exits, the card 3" in found
