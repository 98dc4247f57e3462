import numpy as np
import pytest

from core.exits.certainty import certainty
from core.exits.intervals import accuracy_interval, difference_interval
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import route
from tests.core.exits.tables import changed, random_table

POLICY = Policy("margin", [0.3, 0.5, 0.6])


def test_ranges_are_of_the_policys_figures_paired_with_the_reference() -> None:
    table = random_table(400)
    reference = np.random.default_rng(1).uniform(size=400) < 0.8
    found = certainty(table, POLICY, reference)
    assert found is not None
    routing = route(table, POLICY)
    losses, gains = (reference & ~routing.right).sum(), (routing.right & ~reference).sum()
    assert found.accuracy == accuracy_interval(int(routing.right.sum()), 400)
    assert found.difference == pytest.approx(routing.right.mean() - reference.mean())
    assert found.difference_interval == difference_interval(int(losses), int(gains), 400)
    assert sum(found.relative_cost) / 2 == pytest.approx(evaluate(table, POLICY).relative_cost)
    low, high = found.relative_cost
    assert (high - low) / 2 == pytest.approx(1.96 * routing.costs.std() / 20, rel=1e-4)


def test_without_a_reference_the_last_exit_stands_in() -> None:
    table = random_table(400)
    assert certainty(table, POLICY) == certainty(table, POLICY, table.right[:, -1])
    assert certainty(changed(table, labels=np.full(400, -1)), POLICY) is None


def test_the_range_of_the_compute_holds_the_truth_as_often_as_it_says() -> None:
    population = random_table(20_000, seed=3)
    truth = evaluate(population, POLICY).relative_cost
    random = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        found = certainty(population.select(random.integers(20_000, size=300)), POLICY)
        assert found is not None
        held += found.relative_cost[0] <= truth <= found.relative_cost[1]
    assert 0.9 <= held / 200 <= 0.99
