"""Selective risk, tested as such: over calibration sets of a world whose error rates are known."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.tuning.path import split
from core.tuning.selective import Selective, control_selective, level_path, selective_error
from tests.core.exits.tables import changed, random_table

DRAWS = {"ltt": 200, "ucb": 80}
DELTA = 0.1
EPSILON = 0.1


@cache
def world() -> ExitTable:
    return random_table(6000, 3, seed=3)


@cache
def chosen(method: str) -> list[Selective]:
    random = np.random.default_rng(5)
    draws = (world().select(random.integers(len(world()), size=1500)) for _ in range(DRAWS[method]))
    return [control_selective(table, "margin", EPSILON, DELTA, method) for table in draws]


def is_broken(policy: Policy) -> bool:
    errors = selective_error(route(world(), policy))
    return any(error is not None and error > EPSILON for error in errors)


@pytest.mark.parametrize("method", ["ltt", "ucb"])
def test_the_error_of_some_exit_is_too_high_no_more_often_than_allowed(method: str) -> None:
    broken = np.mean([is_broken(found.policy) for found in chosen(method)])
    assert broken <= binom.ppf(0.9999, DRAWS[method], DELTA) / DRAWS[method]
    assert np.mean([found.leaves_early for found in chosen(method)]) > 0.9


def test_choosing_by_the_rates_on_the_set_itself_breaks_on_the_same_draws() -> None:
    random = np.random.default_rng(5)
    broken = []
    for _ in range(50):
        table = world().select(random.integers(len(world()), size=1500))
        path = level_path(table, "margin", EPSILON, 20)
        kept = [
            policy
            for policy in path
            if all((error or 0) <= EPSILON for error in selective_error(route(table, policy)))
        ]
        broken.append(is_broken(kept[-1]))
    assert np.mean(broken) > 3 * DELTA


@pytest.mark.parametrize("method", ["ltt", "ucb"])
def test_the_figures_are_those_of_the_test_samples(method: str) -> None:
    table = random_table(3000, 3, seed=4)
    found = control_selective(table, "margin", EPSILON, 0.2, method)
    laid, test = split(table)
    assert (found.path_samples, found.samples) == (len(laid), len(test))
    report = evaluate(test, found.policy)
    assert found.relative_cost == pytest.approx(report.relative_cost)
    shares = np.array(report.exit_share[:-1])
    np.testing.assert_array_equal(found.left, np.round(shares * len(test)))
    for index, error in enumerate(found.error):
        if found.left[index]:
            assert error == pytest.approx(1 - report.accuracy_of_left[index])
            assert error < EPSILON
        else:
            assert error is None
    assert found.to_dict()["policy"] == found.policy.to_dict()


def test_a_path_leaves_with_few_errors_first_and_keeps_to_its_levels() -> None:
    table = random_table(4000, 3, seed=6)
    path = level_path(table, "margin", 0.1, 40)
    assert len(set(path)) == len(path)
    worst = []
    for policy in path:
        errors = [error for error in selective_error(route(table, policy)) if error is not None]
        shares = np.array(evaluate(table, policy).exit_share[:-1])
        assert (shares[list(policy.enabled)] * len(table) >= 40).all()
        worst.append(max(errors, default=0))
    assert worst[0] < 0.05
    assert max(worst) <= 0.2
    assert worst[-1] > 0.1


def test_nothing_proven_means_never_leaving_early() -> None:
    table = random_table(400, 3)
    wrong = changed(table, labels=(table.answers[:, 0] + 1) % table.num_classes)
    found = control_selective(wrong, "margin", 0.05)
    assert not found.leaves_early
    assert (found.left, found.error, found.relative_cost) == ((0, 0), (None, None), 1)
    assert "For no policy that leaves early" in found.guarantee


def test_the_guarantee_is_a_plain_sentence() -> None:
    assert chosen("ltt")[0].guarantee == (
        "On new samples like these, of those that leave at any one early exit at most 10 % are "
        "answered wrongly; a guarantee obtained in this way from 1125 calibration samples holds, "
        "for all early exits at once, with a probability of at least 90 %."
    )


def test_what_cannot_be_controlled_is_said() -> None:
    table = random_table(400, 3)
    with pytest.raises(UserError, match="use 'ltt' or 'ucb'"):
        control_selective(table, "margin", 0.1, method="crc")
    with pytest.raises(UserError, match="'patience', which looks back"):
        control_selective(table, "patience", 0.1)
    with pytest.raises(UserError, match="399 labels for 400 samples"):
        control_selective(changed(table, labels=[-1, *table.labels[1:]]), "margin", 0.1)
    with pytest.raises(UserError, match="`epsilon` to be a fraction"):
        control_selective(table, "margin", 0)
