"""Promises, tested as such: over re-drawn calibration sets of the shipped models."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.promises import Optimist, Population, promised_on_draws
from core.exits.report import evaluate
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.hub.registry import card_of, shipped_table
from core.tuning.drop_test import DropTest
from core.tuning.path import split
from core.tuning.promise import farthest, has_same_images, lay, promise, reference_right
from tests.core.exits.tables import changed, random_table

DRAWS = 200
MOST_MISSED = float(binom.ppf(0.9999, DRAWS, 0.1)) / DRAWS
TARGETS = (0.003, 0.005, 0.01)


@pytest.fixture(scope="module", params=["branchy8-mnist", "jeidnn8-mnist"])
def population(request: pytest.FixtureRequest) -> Population:
    return Population.of(card_of(request.param))


def test_promises_are_missed_no_more_often_than_allowed(population: Population) -> None:
    for found in promised_on_draws(population, TARGETS, DRAWS, samples=2500):
        assert found.missed <= MOST_MISSED
        assert found.target < 0.01 or found.made > 0.9


def test_optimistic_choices_are_missed_on_the_same_draws(population: Population) -> None:
    found = Optimist.of(population, 2500).chosen(TARGETS, DRAWS, samples=2500)
    assert max(one.missed for one in found) > 0.4


def plain_of(table: ExitTable, right: float) -> ExitTable:
    """A plain network that is right on so many of the images, in another order."""
    random = np.random.default_rng(4)
    answers = np.where(random.uniform(size=len(table)) < right, table.labels, table.labels - 1)
    plain = random_table(len(table), 1, classes=table.num_classes, confidence=False)
    probabilities = np.eye(table.num_classes)[answers % table.num_classes][:, None]
    plain = changed(plain, probabilities=probabilities, labels=table.labels, ids=table.ids)
    return plain.select(random.permutation(len(table)))


def test_images_are_paired_by_their_ids() -> None:
    table = random_table(300, 2)
    plain = plain_of(table, 0.7)
    right = reference_right(table, plain)
    assert right.mean() == pytest.approx(plain.right.mean())
    for row in (0, 17, 299):
        (place,) = np.flatnonzero(plain.ids == table.ids[row])
        assert right[row] == plain.right[place, -1]
    assert has_same_images(plain, table)
    assert has_same_images(plain, table.select(range(50)))
    assert not has_same_images(plain.select(range(299)), table)
    with pytest.raises(UserError, match="1 of 300 ids are missing there"):
        reference_right(table, plain.select(range(299)))


@pytest.mark.parametrize("criterion", ["margin", "exclusion"])
def test_the_figures_are_those_of_the_certifying_images(criterion: str) -> None:
    table = random_table(2000, 3, seed=1)
    plain = plain_of(table, float(table.accuracy_per_exit[-1]))
    found = promise(table, criterion, 0.05, 0.8, plain)
    laid, rest = split(table)
    assert (found.path_samples, found.samples) == (len(laid), len(rest)) == (500, 1500)
    report = evaluate(rest, found.policy)
    drop = reference_right(rest, plain).mean() - report.accuracy
    assert found.drop == pytest.approx(drop)
    assert found.relative_cost == pytest.approx(report.relative_cost)
    assert found.drop < found.bound <= 0.05 + 1e-4
    assert found.policy.criterion == criterion
    assert found.to_dict()["policy"] == found.policy.to_dict()


def test_without_a_plain_network_the_last_exit_stands_in_and_never_fails() -> None:
    table = random_table(400, 3)
    found = promise(table, "margin", 0.0)
    assert not found.leaves_early
    assert (found.drop, found.bound, found.relative_cost) == (0, 0, 1)
    assert not found.against_plain
    assert found.guarantee == (
        "On new images like these, accuracy is no lower than that of the network's own last exit. "
        "From 300 calibration images, a guarantee that does not hold is given in this way with a "
        "probability of at most 10 %."
    )
    assert promise(table, "margin", 0.2).leaves_early


def test_the_promise_against_the_plain_network_says_so() -> None:
    table = random_table(2000, 3, seed=1)
    found = promise(table, "margin", 0.05, 0.95, plain_of(table, 0.4))
    assert found.guarantee.startswith(
        "On new images like these, accuracy is at most 5 percentage points below the plain "
        "network's. From 1,500 calibration images"
    )
    assert found.guarantee.endswith("at most 5 %.")


def test_a_walk_stops_at_the_first_policy_that_is_not_proven() -> None:
    table = random_table(2000, 3, seed=2)
    plain = plain_of(table, float(table.accuracy_per_exit[-1]))
    for walk in lay(table, "margin", reference_right(table, plain)):
        test = DropTest.of(walk.samples, 0.04, 0.9)
        index = walk.proven(test)
        assert index is not None
        passed = test.proves(walk.losses, walk.gains)
        assert passed[: index + 1].all()
        if not passed.all():
            assert index < passed.argmin()


def test_the_certifying_images_have_no_part_in_the_path() -> None:
    table = random_table(1200, 3, seed=3)
    _, rest = split(table)
    labels = table.labels.copy()
    labels[np.isin(table.ids, rest.ids)] = rest.answers[:, 0]
    for walk, other in zip(
        lay(table, "margin"), lay(changed(table, labels=labels), "margin"), strict=True
    ):
        assert walk.policies == other.policies
    first = farthest(lay(table, "margin"), 0.05).policies
    assert first == farthest(lay(changed(table, labels=labels), "margin"), 0.05).policies


def test_more_is_saved_where_more_may_be_lost_or_less_is_certain() -> None:
    table = shipped_table("eenet8-mnist", "calibration")
    plain = shipped_table("resnet8-mnist", "calibration")
    costs = [
        promise(table, "confidence", drop, confidence, plain).relative_cost
        for drop, confidence in ((0.003, 0.9), (0.005, 0.9), (0.005, 0.6), (0.02, 0.6))
    ]
    assert (np.diff(costs) <= 1e-3).all()


def test_what_cannot_be_promised_is_a_sentence_that_says_what_can() -> None:
    table = random_table(2000, 3, seed=1)
    plain = plain_of(table, 1.0)
    with pytest.raises(UserError, match=r"allow a `max_drop` of 0\.\d+ or more") as caught:
        promise(table, "margin", 0.01, plain=plain)
    least = float(str(caught.value).split("`max_drop` of ")[1].split()[0])
    assert promise(table, "margin", least, plain=plain).bound <= least


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_targets_out_of_range_are_refused(value: float) -> None:
    table = random_table(100)
    with pytest.raises(UserError, match=r"`max_drop` to be a fraction in \[0, 1\]"):
        promise(table, "margin", value)
    with pytest.raises(UserError, match="`confidence` to be a fraction between 0 and 1"):
        promise(table, "margin", 0.1, value)
    with pytest.raises(UserError, match="at least 4 samples and a label"):
        promise(table.select(range(3)), "margin", 0.1)
