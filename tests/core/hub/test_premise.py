"""What calibration images cannot carry is said in words."""

from pathlib import Path

import numpy as np
import pytest

from core.exits.table import ExitTable
from core.hub.model import load
from core.hub.premise import FEW, far_better, notes, provable
from core.hub.registry import card_of, shipped_models, shipped_table
from core.tuning.promise import promise
from tests.core.exits.tables import changed, last_exit_only, random_table


def with_accuracy(samples: int, right: int) -> ExitTable:
    """A table whose final exit is right on so many."""
    table = random_table(samples, exits=3)
    answers = table.probabilities[:, -1].argmax(axis=1)
    labels = np.where(np.arange(samples) < right, answers, (answers + 1) % 5)
    return changed(table, labels=labels)


@pytest.mark.parametrize(
    ("calibration", "test", "far"),
    [
        ((5000, 5000), (5000, 4600), True),
        ((5000, 4700), (10_000, 9300), False),  # better, but not far
        ((100, 100), (100, 80), True),
        ((100, 85), (100, 80), False),  # may be chance
        ((20, 20), (20, 18), False),
        ((5000, 4000), (5000, 4900), False),
    ],
)
def test_two_proportions_tell_whether_the_network_has_seen_the_images(
    calibration: tuple[int, int], test: tuple[int, int], far: bool
) -> None:
    tables = with_accuracy(*calibration), with_accuracy(*test)
    assert far_better(*tables) is far
    assert any("seems to have learned" in note for note in notes(*tables)) is far


def test_chance_alone_is_seldom_taken_for_it() -> None:
    random = np.random.default_rng(0)
    found = []
    for _ in range(300):
        right = random.binomial(500, 0.9, 2)
        found.append(far_better(*(with_accuracy(500, int(count)) for count in right)))
    assert np.mean(found) < 0.01


def test_who_knows_better_is_believed() -> None:
    table = with_accuracy(2000, 1800)
    assert notes(table, table) == ()
    (note,) = notes(table, table, learned_from=True)
    assert note.startswith("The network has learned from the calibration images.")


def test_few_images_are_said_to_prove_what_they_can() -> None:
    table = with_accuracy(FEW - 1, 900)
    (note,) = notes(table, None)
    assert note.startswith("With 999 calibration images, even a policy that answers all of them")
    assert "no more than 0.31 points of accuracy, at a confidence of 90%" in note
    assert notes(with_accuracy(FEW, 900), None) == ()
    assert provable(4 * 300) < provable(400)


def test_what_is_said_to_be_provable_is_proven_and_no_less() -> None:
    one = random_table(400, exits=2)
    table = changed(one, probabilities=np.repeat(one.probabilities[:, 1:], 2, axis=1))
    least = provable(400)
    assert promise(table, "max_probability", least).leaves_early
    assert not promise(table, "max_probability", 0.99 * least).leaves_early


def test_nothing_is_said_where_nothing_is_chosen() -> None:
    table = with_accuracy(100, 100)
    assert notes(None, table) == ()
    assert notes(last_exit_only(table), table) == ()
    assert notes(changed(table, labels=np.full(100, -1)), table) == ()


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_networks_have_not_seen_their_calibration_images(name: str) -> None:
    calibration, test = shipped_table(name, "calibration"), shipped_table(name, "test")
    said = notes(calibration, test)
    assert not any("has learned" in note or "have learned" in note for note in said)
    assert len(said) == (card_of(name).num_exits > 1 and len(calibration) < FEW)


def test_a_model_that_is_saved_says_so(tmp_path: Path) -> None:
    model = load("eenet8-mnist")
    few = model.shipped_table("calibration").select(np.arange(500))
    with pytest.warns(UserWarning, match="With 500 calibration images"):
        model.save(tmp_path / "one", few)
    heard: list[str] = []
    model.save(tmp_path / "two", few, learned_from=True, on_note=heard.append)
    assert ["has learned from" in note for note in heard] == [True, False]
