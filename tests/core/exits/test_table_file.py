from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.exits.criteria import CRITERIA, available
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
    for name in ("probabilities", "confidence", "entropy", "top_classes"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(stored, name))
