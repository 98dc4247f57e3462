"""Models are found where they lie, and a name means one of them."""

import io
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.cli.main import main
from core.exits.table_file import save_tables
from core.foundation.errors import UserError
from core.foundation.files import write_json
from core.foundation.places import PRETRAINED
from core.hub.card import load_card
from core.hub.registry import (
    DRIFT,
    FRONTS,
    Catalogue,
    as_zip,
    card_of,
    front_of,
    list_models,
    model_folder,
    shipped_models,
    shipped_table,
    tables_of,
)
from core.tuning.front import front, measured

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


def test_a_name_that_occurs_twice_is_a_model_again_once_the_other_has_gone(tmp_path: Path) -> None:
    other = copied(tmp_path / "first" / MODEL)
    catalogue = Catalogue()
    catalogue.refresh()
    with pytest.raises(UserError, match="have this name"):
        _ = catalogue.model(MODEL).card
    shutil.rmtree(other)
    catalogue.refresh()
    assert catalogue.model(MODEL).card.name == MODEL


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
    (mine / FRONTS).unlink()
    (mine / DRIFT).unlink()
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


def test_a_catalogue_reads_a_card_again_only_when_its_files_changed(tmp_path: Path) -> None:
    folder = copied(tmp_path / "first" / "mine")
    catalogue = Catalogue()
    catalogue.refresh()
    before = catalogue.models
    catalogue.refresh()
    assert all(catalogue.models[name] is one for name, one in before.items())
    card = load_card(folder / "card.json")
    changed = card.model_copy(update={"title": "Another title"})
    write_json(folder / "card.json", changed.model_dump(mode="json"))
    catalogue.refresh()
    assert catalogue.model("mine").card.title == "Another title"
    assert catalogue.model("mine").version != before["mine"].version
    assert catalogue.models[MODEL] is before[MODEL]
    shutil.rmtree(folder)
    catalogue.refresh()
    with pytest.raises(UserError, match="but got 'mine'"):
        catalogue.model("mine")


def test_a_catalogue_finds_a_model_that_has_just_come(tmp_path: Path) -> None:
    catalogue = Catalogue()
    catalogue.refresh()
    folder = copied(tmp_path / "first" / "mine")
    assert catalogue.model("mine").folder == folder


def test_a_catalogue_says_what_is_wrong_with_a_model_when_it_is_asked_for(tmp_path: Path) -> None:
    damaged = copied(tmp_path / "first" / "damaged")
    (damaged / "card.json").write_text("{")
    copied(tmp_path / "first" / "twin")
    copied(tmp_path / "second" / "twin")
    catalogue = Catalogue()
    catalogue.refresh()
    with pytest.raises(UserError, match="cannot be read"):
        _ = catalogue.model("damaged").card
    with pytest.raises(UserError, match="one model called 'twin'"):
        _ = catalogue.model("twin").card


@pytest.mark.parametrize("name", shipped_models())
def test_stored_fronts_are_those_of_the_table(name: str) -> None:
    card, tables = card_of(name), tables_of(name)
    if card.num_exits == 1:
        assert not (PRETRAINED / name / FRONTS).is_file()
        return
    calibration = tables["calibration"]
    for criterion in card.criteria:
        stored = front_of(name, calibration, criterion)
        some = np.unique(np.linspace(0, len(stored) - 1, 12).astype(int))
        accuracy, cost = measured(calibration, [stored.policy(index) for index in some])
        assert accuracy == pytest.approx(stored.accuracy[some])
        assert cost == pytest.approx(stored.relative_cost[some])
    if len(calibration) * card.num_exits < 20_000:
        searched = front(calibration, card.criteria[0])
        stored = front_of(name, calibration, card.criteria[0])
        assert np.array_equal(stored.thresholds, searched.thresholds)


def test_fronts_of_another_table_are_searched_anew(tmp_path: Path) -> None:
    folder = copied(tmp_path / "first" / "mine")
    half = tables_of(folder)["calibration"].select(range(2500))
    found = front_of(folder, half, "margin")
    assert np.array_equal(found.accuracy, front(half, "margin").accuracy)
    (folder / FRONTS).write_bytes(b"no archive")
    assert len(front_of(folder, half, "margin")) == len(found)
