import numpy as np
import pytest

from core.exits.report import evaluate
from core.tuning.front import cheapest_within_drop, front
from core.tuning.naive import NaiveSets
from tests.core.exits.tables import changed, random_table

CRITERIA = ("max_probability", "margin")
WORLD = random_table(3_000, 3, seed=3)


def test_naive_tuning_loses_more_than_it_believes_and_the_more_the_fewer_images() -> None:
    few, many = (NaiveSets.of(WORLD, CRITERIA, samples, sets=40) for samples in (60, 600))
    rates, means = [], []
    for sets in (few, many):
        drops, costs = sets.choose(WORLD, 0.02)
        assert len(drops) == len(costs) == 40
        rates.append((drops > 0.02).mean())
        means.append(drops.mean())
    assert rates[0] > 0.5
    assert means[0] > means[1]


def test_it_takes_the_cheapest_of_all_fronts_on_the_set() -> None:
    drops, costs = NaiveSets.of(WORLD, CRITERIA, 100, sets=1, seed=4).choose(WORLD, 0.05)
    drawn = WORLD.select(np.random.default_rng(4).integers(len(WORLD), size=100))
    fronts = [front(drawn, name) for name in CRITERIA]
    wanted = evaluate(WORLD, cheapest_within_drop(fronts, float(drawn.accuracy_per_exit[-1]), 0.05))
    assert costs[0] == pytest.approx(wanted.relative_cost)
    assert drops[0] == pytest.approx(WORLD.accuracy_per_exit[-1] - wanted.accuracy)


def test_an_always_wrong_network_has_nothing_to_lose() -> None:
    wrong = changed(WORLD, labels=np.argmin(WORLD.probabilities[:, -1], axis=1))
    drops, _ = NaiveSets.of(wrong, CRITERIA, 50, sets=3).choose(wrong, 0.0)
    assert (drops <= 0).all()
