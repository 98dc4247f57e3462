from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.exits.criteria import CRITERIA, available
from core.exits.policy import Policy
from core.exits.table import ExitTable
from core.exits.table_file import as_stored, load_tables, save_tables
from core.foundation.costs import Costs
from core.foundation.errors import UserError
from tests.core.exits.tables import changed, random_table, tables


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables())
def test_tables_survive_the_disk(tmp_path: Path, table: ExitTable) -> None:
    save_tables(tmp_path / "table.npz", {"calibration": table, "test": table.select([0])})
    loaded = load_tables(tmp_path / "table.npz")
    assert list(loaded) == ["calibration", "test"]
    again = loaded["calibration"]
    np.testing.assert_array_equal(again.answers, table.answers)
    np.testing.assert_array_equal(again.labels, table.labels)
    np.testing.assert_array_equal(again.ids, table.ids)
    np.testing.assert_array_equal(again.costs.at_exits(), table.costs.at_exits())
    assert again.classes == table.classes
    np.testing.assert_allclose(again.probabilities, table.probabilities, atol=1.6 / 65535)
    for name, criterion in CRITERIA.items():
        # Ratios and gates divide by what may be small, so the rounding grows.
        atol = 3.1 / 65535 if not criterion.history else 1e-3
        if name != "gate":
            np.testing.assert_allclose(criterion.scores(again), criterion.scores(table), atol=atol)


def test_answers_survive_rounding_that_would_tie_them(tmp_path: Path) -> None:
    near = np.array([0.3, 0.3 + 1e-7, 0.3, 0.1], np.float32)
    faint = np.array([0, 0, 1e-9, 0], np.float32)
    table = changed(random_table(2, 2, 4), probabilities=[[near, faint], [faint, near]])
    assert table.answers.tolist() == [[1, 2], [2, 1]]
    save_tables(tmp_path / "table.npz", {"test": table})
    once = load_tables(tmp_path / "table.npz")["test"]
    assert once.answers.tolist() == [[1, 2], [2, 1]]
    save_tables(tmp_path / "again.npz", {"test": once})
    np.testing.assert_array_equal(
        load_tables(tmp_path / "again.npz")["test"].probabilities, once.probabilities
    )


def test_many_classes_are_cut_to_the_top_eight_on_disk(tmp_path: Path) -> None:
    table = random_table(20, 3, 30)
    save_tables(tmp_path / "table.npz", {"test": table})
    short = load_tables(tmp_path / "table.npz")["test"]
    assert short.probabilities.shape == (20, 3, 8)
    assert short.num_classes == 30
    np.testing.assert_array_equal(short.answers, table.answers)
    for name in available(short):
        scores = CRITERIA[name].scores
        atol = 2 / 65535 if name != "gate" else 1e-3
        np.testing.assert_allclose(scores(short), scores(table), atol=atol)


def test_an_incomplete_table_is_not_saved(tmp_path: Path) -> None:
    table = changed(random_table(), costs=Costs([0.1] * 4, [0.1] * 4))
    with pytest.raises(UserError, match="add up to 1"):
        save_tables(tmp_path / "table.npz", {"test": table})
    assert not list(tmp_path.iterdir())


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.npz"
    with pytest.raises(UserError, match="no such file"):
        load_tables(path)
    path.write_bytes(b"not a table")
    with pytest.raises(UserError, match=r"table\.npz.*damaged or of another kind"):
        load_tables(path)
    np.savez(path, images=np.zeros(3))
    with pytest.raises(UserError, match=r"table\.npz.*none of its fields"):
        load_tables(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"array\.npy"):
        load_tables(tmp_path / "array.npy")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("test/labels", None, "'test/labels'.*missing"),
        ("test/labels", np.zeros(50), "'test/labels'.*whole numbers"),
        ("test/labels", np.array([{}] * 50), "'test/labels'.*damaged"),
        ("test/probabilities", np.zeros((50, 4, 5)), "'test/probabilities'.*uint16"),
        ("test/tails", np.zeros((2, 50, 4, 4), np.uint8), "split 'test'.*`tails` of shape"),
        ("test/tails", np.zeros((2, 50, 4, 5), np.uint16), "'test/tails'.*uint8"),
        ("test/ids", np.zeros(7, int), "split 'test'.*`ids`"),
        ("test/classes", np.array("a"), "split 'test'.*`classes`"),
        ("test/stage_costs", np.ones(4), "split 'test'.*add up to 1"),
    ],
)
def test_a_foreign_field_is_named(tmp_path: Path, field: str, value: Any, message: str) -> None:
    path = tmp_path / "table.npz"
    save_tables(path, {"test": random_table()})
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays.pop(field)
    if value is not None:
        arrays[field] = value
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message) as caught:
        load_tables(path)
    assert str(path) in str(caught.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "table.npz"
    save_tables(path, {"test": random_table(10)})
    return path.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_the_users_business_never_a_crash(
    tmp_path: Path, saved: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(saved)
    for place in data.draw(st.lists(st.integers(0, len(saved) - 1), min_size=1, max_size=4)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "table.npz"
    path.write_bytes(damaged[: data.draw(st.sampled_from([len(saved), len(saved) // 2, 40]))])
    complaint = ""
    try:
        tables = load_tables(path)
    except UserError as error:
        tables, complaint = {}, str(error)
    assert tables or str(path) in complaint


@pytest.mark.parametrize("classes", [3, 30])
def test_what_is_kept_is_what_a_file_gives_back(tmp_path: Path, classes: int) -> None:
    table = random_table(classes=classes)
    save_tables(tmp_path / "tables.npz", {"test": table})
    stored, kept = load_tables(tmp_path / "tables.npz")["test"], as_stored(table)
    names = ("probabilities", "confidence", "entropy", "top_classes", "log_probabilities")
    for name in names:
        np.testing.assert_array_equal(getattr(kept, name), getattr(stored, name))


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.5, 3, 5, 20])
def test_temperatures_on_a_stored_table_are_those_of_the_network(
    tmp_path: Path, temperature: float
) -> None:
    random = np.random.default_rng(5)
    logits = random.normal(scale=12, size=(2_000, 2, 10))  # probabilities down to 1e-35
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    table = random_table(2_000, 2, 10, confidence=False)
    table = changed(table, probabilities=weights / weights.sum(axis=2, keepdims=True))
    save_tables(tmp_path / "table.npz", {"test": table})
    stored = load_tables(tmp_path / "table.npz")["test"]
    policy = Policy("entropy", [0.5], temperatures=[temperature] * 2)
    wanted, got = policy.apply_temperatures(table), policy.apply_temperatures(stored)
    np.testing.assert_allclose(got.probabilities, wanted.probabilities, atol=0.004)
    assert np.abs(got.probabilities - wanted.probabilities).mean() < 0.0002
    np.testing.assert_array_equal(got.answers, table.answers)
    np.testing.assert_array_equal(
        stored.select([3, 5]).log_probabilities, stored.logarithms()[[3, 5]]
    )


def test_a_table_without_logarithms_keeps_its_figures_but_refuses_temperatures(
    tmp_path: Path,
) -> None:
    table = random_table()
    save_tables(tmp_path / "new.npz", {"test": table})
    with np.load(tmp_path / "new.npz") as archive:
        arrays = {name: array for name, array in archive.items() if name != "test/tails"}
    np.savez(tmp_path / "old.npz", **arrays)
    new, old = (load_tables(tmp_path / f"{name}.npz")["test"] for name in ("new", "old"))
    np.testing.assert_array_equal(old.probabilities, new.probabilities)
    policy = Policy("entropy", [0.5] * 3, temperatures=[2.0] * 4)
    assert policy.scores(new).shape == (50, 3)
    with pytest.raises(UserError, match="--complete MODEL"):
        policy.scores(old)
    save_tables(tmp_path / "again.npz", {"test": old})
    assert load_tables(tmp_path / "again.npz")["test"].log_probabilities is None
