"""Tables of corrupted test images: made on demand, and shipped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drift import EVERY, SHIPPED, make_table, shipped_rows
from core.analysis.corruptions import CORRUPTIONS, corrupt
from core.data.samples import load_samples
from core.exits.report import evaluate
from core.exits.table_file import as_stored
from core.foundation.errors import UserError
from core.foundation.jobs import Stopped
from core.hub.drift import BATCH, SEVERITIES, corrupted_tables, load_drift, save_drift
from core.hub.model import load
from core.hub.registry import DRIFT, as_zip, card_of, model_folder, shipped_table

MODEL, PLAIN = "eenet8-mnist", "resnet8-mnist"


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_fits_any_policy(name: str) -> None:
    card, test = card_of(name), shipped_table(name, "test")
    shipped = load_drift(model_folder(name), card, test)
    assert {
        corruption: tuple(severity for severity in sorted(tables) if severity)
        for corruption, tables in shipped.items()
    } == SHIPPED[name]
    for corruption, tables in shipped.items():
        assert corruption in CORRUPTIONS
        assert set(tables) <= set(SEVERITIES)
        falling = [tables[severity].table.accuracy_per_exit[-1] for severity in sorted(tables)]
        assert falling[-1] < falling[0]
        for drifted in tables.values():
            np.testing.assert_array_equal(drifted.table.ids, test.ids[::EVERY])
            np.testing.assert_array_equal(drifted.table.labels, test.labels[::EVERY])
            assert drifted.plain_right is not None
            assert len(drifted.plain_right) == len(drifted.table)
            evaluate(drifted.table, card.default_policy)
    one = tables[max(tables)].table
    for criterion in card.criteria:
        evaluate(one, replace(card.default_policy, criterion=criterion))
    with pytest.raises(UserError, match="do without temperatures"):  # rounded too far for them
        evaluate(one, replace(card.default_policy, temperatures=(1.5,) * card.num_exits))


def test_all_that_ships_is_small() -> None:
    assert sum((model_folder(name) / DRIFT).stat().st_size for name in SHIPPED) < 1_000_000


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "corruption"), [("eenet8-mnist", "noise"), ("eenet20-cifar10", "blur")]
)
def test_what_ships_can_be_made_again(name: str, corruption: str, prepared_root: Path) -> None:
    severity = SHIPPED[name][corruption][1]
    made = make_table(name, corruption, severity, prepared_root)
    stored = load_drift(model_folder(name), card_of(name), shipped_table(name, "test"))
    expected = stored[corruption][severity]
    assert made.plain_right is not None
    assert expected.plain_right is not None
    np.testing.assert_allclose(made.table.probabilities, expected.table.probabilities, atol=1e-3)
    np.testing.assert_allclose(made.table.confidence, expected.table.confidence, atol=1e-3)
    assert (made.table.answers != expected.table.answers).mean() < 0.002
    assert (made.plain_right != expected.plain_right).mean() < 0.002


def test_images_are_corrupted_and_run_in_turns_with_progress() -> None:
    model, plain = load(MODEL), load(PLAIN)
    samples = load_samples("mnist").select(np.arange(0, 5000, 25))
    clean = model.table(samples)
    turns, fractions = [], []

    @contextmanager
    def turn() -> Iterator[None]:
        turns.append("taken")
        yield

    def on_progress(fraction: float, message: str) -> None:
        assert message.startswith("Noise 40%")
        fractions.append(fraction)

    found = corrupted_tables(
        model, plain, samples.images, clean, "noise", 0.4, on_progress, turn=turn
    )
    corrupted = np.stack([corrupt(image, "noise", 0.4) for image in samples.images])
    expected = as_stored(model.table(corrupted, samples.labels, samples.ids))
    np.testing.assert_allclose(found.table.probabilities, expected.probabilities, atol=2e-4)
    np.testing.assert_array_equal(found.table.labels, expected.labels)
    np.testing.assert_array_equal(found.table.ids, expected.ids)
    right = plain.table(corrupted, samples.labels).right[:, -1]
    np.testing.assert_array_equal(found.plain_right, right)
    assert len(turns) == -(-200 // BATCH)
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert (
        corrupted_tables(
            model, None, samples.images[:2], clean.select([0, 1]), "blur", 0.1
        ).plain_right
        is None
    )


def test_it_stops_when_it_is_called_off() -> None:
    model, samples = load(MODEL), load_samples("mnist")

    def stop(fraction: float, message: str) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        corrupted_tables(model, None, samples.images, model.table(samples), "noise", 0.4, stop)


def test_tables_of_other_weights_are_none_and_damaged_ones_are_told(tmp_path: Path) -> None:
    card, test = card_of(MODEL), shipped_table(MODEL, "test")
    other = card.model_copy(update={"sha256": "0" * 64})
    assert load_drift(tmp_path, card, test) == {}
    assert load_drift(model_folder(MODEL), other, test) == {}
    tables = load_drift(model_folder(MODEL), card, test)
    kept = {("noise", severity): tables["noise"][severity] for severity in SHIPPED[MODEL]["noise"]}
    save_drift(tmp_path, card, shipped_rows(len(test)), kept)
    again = load_drift(tmp_path, card, test)
    for severity, drifted in tables["noise"].items():
        np.testing.assert_array_equal(
            again["noise"][severity].table.probabilities, drifted.table.probabilities
        )
        np.testing.assert_array_equal(again["noise"][severity].plain_right, drifted.plain_right)
    content = (tmp_path / DRIFT).read_bytes()
    (tmp_path / DRIFT).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="but they are damaged"):
        load_drift(tmp_path, card, test)


def test_an_archive_of_a_model_holds_them(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(as_zip(model_folder(MODEL)))
    shutil.unpack_archive(tmp_path / "model.zip", tmp_path)
    assert (tmp_path / MODEL / DRIFT).is_file()
