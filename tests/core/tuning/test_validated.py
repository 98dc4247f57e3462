import numpy as np
import pytest

from core.exits.report import evaluate
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.tuning.validated import validated_thresholds
from tests.core.exits.tables import changed, random_table


def sure_and_right(samples: int = 4000) -> ExitTable:
    """Two classes; an exit that gives p to its answer is right with probability p."""
    random = np.random.default_rng(0)
    sure = random.uniform(0.5, 1, (samples, 3))
    right = random.uniform(size=sure.shape) < sure
    first = np.where(right, sure, 1 - sure)  # the label is class 0
    table = random_table(samples, 3, 2, confidence=False)
    return changed(
        table, probabilities=np.stack([first, 1 - first], axis=2), labels=np.zeros(samples, int)
    )


@pytest.mark.parametrize("accuracy", [0.6, 0.8, 0.95])
def test_a_threshold_lies_where_samples_like_these_are_right_so_often(accuracy: float) -> None:
    policy = validated_thresholds(sure_and_right(), "max_probability", accuracy)
    assert policy.enabled == (True, True)
    for threshold in policy.thresholds:
        assert threshold == pytest.approx(accuracy, abs=0.08)


def test_more_accuracy_lets_fewer_go() -> None:
    table = sure_and_right()
    last = -1.0
    for accuracy in (0.5, 0.7, 0.9, 0.97):
        report = evaluate(table, validated_thresholds(table, "margin", accuracy))
        assert report.relative_cost > last
        last = report.relative_cost


def test_an_exit_that_is_never_so_accurate_is_off_and_one_that_always_is_lets_all_go() -> None:
    table = sure_and_right()
    wrong_first = table.probabilities.copy()
    wrong_first[:, 0] = [0.4, 0.6]
    policy = validated_thresholds(changed(table, probabilities=wrong_first), "entropy", 0.9)
    assert policy.enabled == (False, True)
    all_right = np.tile(np.array([0.9, 0.1]), (4000, 3, 1))
    all_right += np.random.default_rng(0).uniform(-0.05, 0.05, (4000, 3, 1)) * [1, -1]
    everyone = validated_thresholds(changed(table, probabilities=all_right), "margin", 1.0)
    assert (route(changed(table, probabilities=all_right), everyone).exits == 0).all()


def test_what_cannot_be_validated_is_refused() -> None:
    table = sure_and_right()
    with pytest.raises(UserError, match="above 0 and up to 1, but got 99"):
        validated_thresholds(table, "margin", 99)
    with pytest.raises(UserError, match="looks back"):
        validated_thresholds(table, "patience", 0.9)
    with pytest.raises(UserError, match="at least 20 labelled samples, but got 3"):
        validated_thresholds(table.select([0, 1, 2]), "margin", 0.9)
