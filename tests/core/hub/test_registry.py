"""Models are found where they lie, and a name means one of them."""

import io
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from core.cli.main import main
from core.exits.table_file import save_tables
from core.foundation.errors import UserError
from core.foundation.files import write_json
from core.foundation.places import PRETRAINED
from core.hub.card import load_card
from core.hub.registry import (
    as_zip,
    card_of,
    list_models,
    model_folder,
    shipped_models,
    shipped_table,
    tables_of,
)

MODEL = "eenet8-mnist"


def copied(folder: Path) -> Path:
    shutil.copytree(PRETRAINED / MODEL, folder)
    return folder


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, two folders of further models, and no data sets."""
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folders = [str(tmp_path / name) for name in ("first", "second", "missing")]
    monkeypatch.setenv("EENET_MODELS", os.pathsep.join(folders))


def test_models_are_found_in_runs_and_in_further_folders(tmp_path: Path) -> None:
    assert list_models() == shipped_models()
    run = copied(Path("runs") / "try" / "model")
    mine = copied(tmp_path / "second" / "mine")
    assert set(list_models()) - set(shipped_models()) == {"try", "mine"}
    assert model_folder("try") == run
    assert model_folder("mine") == mine
    assert model_folder(MODEL) == PRETRAINED / MODEL
    assert model_folder(mine) == mine
    with pytest.raises(UserError, match="Did you mean 'mine'"):
        card_of("mien")


def test_a_name_that_occurs_twice_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = copied(tmp_path / "first" / MODEL)
    with pytest.raises(UserError, match=f"{PRETRAINED / MODEL}.* and {other} have this name"):
        model_folder(MODEL)
    assert card_of(other).name == MODEL
    with pytest.warns(UserWarning, match="have this name"):
        assert list_models() == shipped_models()
    assert main(["models"]) == 0
    printed = capsys.readouterr()
    assert "warning: expected one model called 'eenet8-mnist'" in printed.err
    assert f"\n{other} " in printed.out
    assert f"\n{PRETRAINED / MODEL} " in printed.out


def test_one_folder_named_twice_is_one_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = copied(tmp_path / "first" / "mine")
    monkeypatch.setenv("EENET_MODELS", os.pathsep.join([str(tmp_path / "first")] * 2))
    assert model_folder("mine") == mine


def test_a_model_without_tables_says_so(tmp_path: Path) -> None:
    mine = copied(tmp_path / "first" / "mine")
    assert set(tables_of(mine)) == {"calibration", "test"}
    with pytest.raises(UserError, match=r"calibration and test.* Did you mean 'test'"):
        shipped_table("mine", "tset")
    (mine / "table.npz").unlink()
    assert tables_of("mine") == {}
    with pytest.raises(UserError, match="a table of the test split, but it has none: save"):
        shipped_table("mine", "test")
    with zipfile.ZipFile(io.BytesIO(as_zip(mine))) as archive:
        assert archive.namelist() == ["mine/card.json", "mine/weights.safetensors"]


def test_a_model_without_a_test_table_is_tuned_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = copied(tmp_path / "first" / "mine")
    save_tables(mine / "table.npz", {"calibration": shipped_table(MODEL, "calibration")})
    card = load_card(mine / "card.json")
    points = tuple(point.model_copy(update={"test": None}) for point in card.operating_points)
    accuracy = {"calibration": card.per_exit_accuracy["calibration"]}
    figures = {"operating_points": points, "per_exit_accuracy": accuracy, "training": None}
    write_json(mine / "card.json", card.model_copy(update=figures).model_dump(mode="json"))
    assert main(["models"]) == 0
    assert "–" in capsys.readouterr().out
    assert main(["tune", "mine", "--max-risk", "0.05"]) == 0
    printed = capsys.readouterr().out
    assert "Measured on test" not in printed
    assert "\ntest " not in printed
    assert main(["evaluate", "mine"]) == 2
    assert "a table of the test split, but it has calibration: save" in capsys.readouterr().err
    assert main(["evaluate", "mine", "--split", "calibration"]) == 0
