import numpy as np
import pytest

from core.exits.report import evaluate
from core.tuning.front import front
from core.tuning.replay import replay
from tests.core.exits.tables import random_table


def test_a_front_replayed_where_it_was_chosen_is_itself() -> None:
    table = random_table(samples=200, exits=3)
    found = front(table, "margin")
    cost, accuracy, which = replay(found, table, most=len(found))
    assert cost == pytest.approx(found.relative_cost)
    assert accuracy == pytest.approx(found.accuracy)
    assert which.tolist() == list(range(len(found)))


def test_a_replayed_point_is_what_its_policy_achieves() -> None:
    found = front(random_table(samples=200, exits=3), "entropy", temperatures=(2, 1, 0.5))
    other = random_table(samples=150, exits=3, seed=1)
    cost, accuracy, which = replay(found, other, most=5)
    assert len(cost) == min(5, len(found))
    assert (np.diff(cost) >= 0).all()
    for index, point in zip(which.tolist(), zip(cost, accuracy, strict=True), strict=True):
        report = evaluate(other, found.policy(index))
        assert point == pytest.approx((report.relative_cost, report.accuracy))
