from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.cli.main import main
from core.data.splits import load_split
from core.exits.policy import Policy
from core.exits.table_file import save_tables
from core.foundation.errors import UserError
from core.hub.complete import complete_tables
from core.hub.model import Model
from core.hub.registry import CARD, TABLE, tables_of
from tests.core.networks.small import network

HEATED = Policy("entropy", [0.5, 0.5], temperatures=[3.0, 3.0, 3.0])


def saved(folder: Path) -> Model:
    digits = [load_split("mnist-samples", split) for split in ("calibration", "test")]  # type: ignore[arg-type]
    made = Model.of(network(), digits[0].classes, dataset="mnist-samples")
    return made.save(folder, *digits, on_note=lambda note: None)


def as_before(folder: Path) -> None:
    """Leave out what tables had not when there were no temperatures."""
    tables = tables_of(folder)
    save_tables(
        folder / TABLE,
        {split: replace(table, log_probabilities=None) for split, table in tables.items()},
    )


def test_old_tables_get_what_temperatures_need_and_stay_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, folder = saved(tmp_path / "mine"), tmp_path / "mine"
    whole, card = tables_of(folder), (folder / CARD).read_bytes()
    assert not complete_tables(folder)
    as_before(folder)
    old = tables_of(folder)
    with pytest.raises(UserError, match="--complete"):
        HEATED.scores(old["test"])
    assert main(["models", "--complete", str(folder)]) == 0
    assert "complete now" in capsys.readouterr().err
    new = tables_of(folder)
    assert (folder / CARD).read_bytes() == card
    for split, table in new.items():
        np.testing.assert_array_equal(table.probabilities, old[split].probabilities)
        np.testing.assert_array_equal(table.log_probabilities, whole[split].log_probabilities)
    images = load_split("mnist-samples", "test")
    run_now = HEATED.apply_temperatures(model.table(images)).probabilities
    heated = HEATED.apply_temperatures(new["test"]).probabilities
    np.testing.assert_allclose(heated, run_now, atol=0.002)


def test_tables_of_another_network_are_left_alone(tmp_path: Path) -> None:
    saved(tmp_path / "mine")
    as_before(tmp_path / "mine")
    tables = tables_of(tmp_path / "mine")
    turned = {
        split: replace(table, probabilities=table.probabilities[:, :, ::-1])
        for split, table in tables.items()
    }
    save_tables(tmp_path / "mine" / TABLE, turned)
    with pytest.raises(UserError, match="gives others"):
        complete_tables(tmp_path / "mine")
