from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.exits.criteria import CRITERIA, available
from core.exits.table import ExitTable, load_tables, normalised_entropy, save_tables
from core.foundation.errors import UserError
from tests.core.exits.tables import changed, random_table, tables


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("probabilities", np.zeros((50, 4)), r"`probabilities` of shape \(N, E, K\)"),
        ("probabilities", np.full((50, 4, 5), np.nan), r"`probabilities` to lie in \[0, 1\]"),
        ("probabilities", np.full((50, 4, 5), 3.0), r"`probabilities` to lie in \[0, 1\]"),
        ("probabilities", np.full((50, 4, 5), 0.9), "add up to 1"),
        ("probabilities", np.zeros((50, 0, 5)), "at least one exit"),
        ("probabilities", np.full((50, 4, 5), "a"), "to hold numbers"),
        ("confidence", np.zeros((50, 2)), r"`confidence` of shape \(N, E-1\)"),
        ("confidence", np.full((50, 3), 1.5), r"`confidence` to lie in \[0, 1\]"),
        ("labels", np.full(50, 5), "`labels` to be from -1 to 4"),
        ("labels", np.zeros(49, int), "`labels` of shape"),
        ("labels", np.zeros(50), "`labels` to hold whole numbers"),
        ("ids", np.zeros(50), "`ids` to hold whole numbers"),
        ("stage_costs", [0.1, 0.2, np.nan, 0.1], "`stage_costs` to be at least 0 and finite"),
        ("head_costs", [0.1, 0.2, -0.1, 0.1], "`head_costs` to be at least 0"),
        ("head_costs", [0.1, 0.2, 0.1], "`head_costs` of shape"),
        ("classes", ("one", "two"), r"`probabilities` of shape \(N, E, K\)"),
        ("entropy", np.zeros((50, 3)), r"`entropy` of shape \(N, E\)"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        changed(random_table(), **{field: value})


def test_top_classes_need_entropy_order_and_range() -> None:
    table = random_table().truncated(3)
    with pytest.raises(UserError, match="`entropy` where `top_classes`"):
        changed(table, entropy=None)
    with pytest.raises(UserError, match="descending"):
        changed(table, probabilities=table.probabilities[:, :, ::-1])
    with pytest.raises(UserError, match="`top_classes` to be from 0 to 4"):
        changed(table, top_classes=np.full((50, 4, 3), 5))
    with pytest.raises(UserError, match="two `top_classes`"):
        random_table().truncated(1)


def test_arrays_are_read_only_and_the_callers_stay_writable() -> None:
    probabilities = np.full((2, 1, 2), 0.5, np.float32)
    table = ExitTable(
        probabilities,
        None,
        np.zeros(2, int),
        np.arange(2),
        np.array([0.9]),
        np.array([0.1]),
        ("a", "b"),
    )
    with pytest.raises(ValueError, match="read-only"):
        table.probabilities[0, 0, 0] = 1
    probabilities[0, 0, 0] = 0.25
    assert table.num_exits == 1
    assert len(table) == 2


def test_the_lowest_class_wins_a_tie_and_an_unknown_label_is_not_right() -> None:
    table = changed(
        random_table(2, 1, 4), probabilities=[[[0.1, 0.4, 0.4, 0.1]]] * 2, labels=[1, -1]
    )
    assert table.answers.tolist() == [[1], [1]]
    assert table.right.tolist() == [[True], [False]]
    assert table.accuracy_per_exit.tolist() == [1.0]
    assert np.isnan(changed(table, labels=[-1, -1]).accuracy_per_exit).all()


def test_costs_add_the_stages_and_the_enabled_heads_so_far() -> None:
    table = changed(
        random_table(3, 3), stage_costs=[0.25, 0.25, 0.375], head_costs=[0.0625, 0.5, 0.125]
    )
    assert table.relative_costs().tolist() == [0.3125, 1.0625, 1.5625]
    assert table.relative_costs([False, True]).tolist() == [0.25, 1.0, 1.5]
    assert table.relative_costs([False, False])[-1] == 1
    with pytest.raises(UserError, match="`enabled`"):
        table.relative_costs([True])


@given(tables())
def test_disabling_every_early_exit_costs_exactly_the_plain_network(table: ExitTable) -> None:
    off = [False] * (table.num_exits - 1)
    assert table.relative_costs(off)[-1] == pytest.approx(1)
    assert (np.diff(table.relative_costs()) >= 0).all()
    assert (table.relative_costs() >= table.relative_costs(off)).all()


def test_select_takes_positions_in_order_or_a_mask() -> None:
    table = random_table(6)
    assert table.select([4, 1]).ids.tolist() == [4, 1]
    picked = table.select(table.ids % 2 == 0)
    assert picked.ids.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(picked.answers, table.answers[::2])
    assert len(table.select([])) == 0


@given(tables(), st.integers(2, 6))
def test_a_truncated_table_answers_and_scores_as_the_whole_one(table: ExitTable, k: int) -> None:
    short = table.truncated(k)
    np.testing.assert_array_equal(short.answers, table.answers)
    np.testing.assert_array_equal(short.right, table.right)
    for name in available(short):
        criterion = CRITERIA[name]
        np.testing.assert_allclose(criterion.scores(short), criterion.scores(table), atol=1e-6)


def test_normalised_entropy_spans_nought_to_one() -> None:
    assert normalised_entropy(np.array([0, 1, 0], np.float32)) == 0
    assert normalised_entropy(np.full(7, 1 / 7, np.float32)) == pytest.approx(1)
    assert normalised_entropy(np.array([0.5, 0.5, 0, 0], np.float32)) == pytest.approx(0.5)


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
    np.testing.assert_array_equal(again.relative_costs(), table.relative_costs())
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
    table = changed(random_table(), stage_costs=[0.1, 0.1, 0.1, 0.1])
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
    stored, kept = load_tables(tmp_path / "tables.npz")["test"], table.as_kept()
    for name in ("probabilities", "confidence", "entropy", "top_classes"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(stored, name))
