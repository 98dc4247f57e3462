from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import minimize_scalar

from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.table import ExitTable
from core.foundation.costs import Costs
from core.foundation.errors import UserError
from core.hub.registry import shipped_table
from core.tuning.calibration import (
    HIGHEST,
    LOWEST,
    calibrated,
    fit_temperatures,
    probability_quality,
    temperatures_for,
)
from core.tuning.path import split
from tests.core.exits.tables import changed, random_table, tables


def likelihood_loss(table: ExitTable, exit_index: int) -> float:
    """The mean negative log-likelihood of the labels at an exit."""
    probabilities = table.probabilities[:, exit_index].astype(np.float64)
    return float(-np.log(probabilities[np.arange(len(table)), table.labels]).mean())


def with_temperatures(table: ExitTable, temperatures: tuple[float, ...]) -> ExitTable:
    early = table.num_exits - 1
    return Policy("margin", [0.5] * early, temperatures=temperatures).apply_temperatures(table)


@pytest.mark.parametrize("exits", [1, 4])
def test_it_finds_the_minimum_that_scipy_finds(exits: int) -> None:
    table = random_table(500, exits, seed=exits)
    for exit_index, found in enumerate(fit_temperatures(table)):
        logits = np.log(table.probabilities[:, exit_index].astype(np.float64))

        def loss(log_temperature: float, logits: np.ndarray = logits) -> float:
            z = logits / np.exp(log_temperature)
            normaliser = np.log(np.exp(z).sum(axis=1))
            return float((normaliser - z[np.arange(len(z)), table.labels]).mean())

        best = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
        assert found == pytest.approx(np.exp(best.x), rel=1e-3)


def test_it_undoes_a_known_temperature() -> None:
    """Labels drawn from the probabilities themselves, which are then made too sure of them."""
    random = np.random.default_rng(0)
    table = random_table(20_000, 3, classes=4)
    odds = table.probabilities[:, 1].astype(np.float64).cumsum(axis=1)
    labels = (random.uniform(size=(len(table), 1)) > odds / odds[:, -1:]).sum(axis=1)
    true = changed(
        table, labels=labels, probabilities=np.repeat(table.probabilities[:, 1:2], 3, axis=1)
    )
    overconfident = with_temperatures(true, (1, 1 / 3, 2))
    assert fit_temperatures(overconfident) == pytest.approx((1, 3, 0.5), rel=0.05)


@settings(max_examples=30)
@given(tables())
def test_no_exit_gets_worse_and_no_answer_changes(table: ExitTable) -> None:
    temperatures = fit_temperatures(table)
    assert len(temperatures) == table.num_exits
    assert all(LOWEST <= temperature <= HIGHEST for temperature in temperatures)
    cooled = with_temperatures(table, temperatures)
    for exit_index in range(table.num_exits):
        if temperatures[exit_index] > LOWEST:  # below, probabilities become exactly 0
            before = likelihood_loss(table, exit_index)
            assert likelihood_loss(cooled, exit_index) <= before + 1e-5


def test_answers_all_right_or_all_wrong_stop_at_the_bounds() -> None:
    probabilities = np.tile([[0.7, 0.3], [0.6, 0.4]], (10, 1, 1))
    table = ExitTable(
        probabilities=probabilities,
        confidence=None,
        labels=np.zeros(10, np.int64),
        ids=np.arange(10),
        costs=Costs([0.5, 0.4], [0.01, 0.1]),
        classes=("a", "b"),
    )
    assert fit_temperatures(table) == (LOWEST, LOWEST)
    assert fit_temperatures(changed(table, labels=[1] * 10)) == (HIGHEST, HIGHEST)
    even = changed(table, probabilities=np.full((10, 2, 2), 0.5))
    assert fit_temperatures(even) == (1, 1)


def test_probabilities_of_zero_and_missing_labels_do_no_harm() -> None:
    table = random_table(200, 3, seed=4)
    labels = table.labels.copy()
    labels[::2] = -1
    assert fit_temperatures(changed(table, labels=labels)) == pytest.approx(
        fit_temperatures(table.select(labels >= 0))
    )
    sure = changed(table, probabilities=np.eye(5)[table.answers])  # (N, E, K)
    assert all(LOWEST < temperature < HIGHEST for temperature in fit_temperatures(sure))


def test_what_cannot_be_fitted_is_said() -> None:
    table = random_table(20)
    with pytest.raises(UserError, match="keeps the top 3 of 5"):
        fit_temperatures(table.truncated(3))
    with pytest.raises(UserError, match="none of its 20 samples"):
        fit_temperatures(replace(table, labels=np.full(20, -1)))
    with pytest.raises(UserError, match="none of its 0 samples"):
        fit_temperatures(table.select([]))


def test_temperatures_come_from_the_part_that_proves_nothing() -> None:
    table = random_table(400, 3, seed=2)
    construction, rest = split(table)
    found = temperatures_for(table)
    assert found == fit_temperatures(construction)
    other = changed(table, labels=(table.labels + np.isin(table.ids, rest.ids)) % 5)
    assert temperatures_for(other) == found
    with pytest.raises(UserError, match="at least 4 samples"):
        temperatures_for(table.select([0, 1]))


def test_quality_is_measured_with_and_without_temperatures() -> None:
    table = random_table(300, 3, seed=3)
    hot = (2.0, 0.5, 1.0)
    quality = probability_quality(table, hot)
    assert quality == probability_quality(calibrated(table, hot))
    losses = [likelihood_loss(calibrated(table, hot), exit_index) for exit_index in range(3)]
    assert quality.negative_log_likelihood == pytest.approx(losses, rel=1e-5)
    errors = evaluate(table, Policy("margin", [0.5, 0.5], None, hot)).calibration_error
    assert quality.calibration_error == pytest.approx(errors)
    assert calibrated(table, None) is table


@pytest.mark.parametrize("name", ["eenet20-cifar10", "branchy20-cifar10"])
def test_a_shipped_model_is_better_calibrated_on_its_test_split(name: str) -> None:
    temperatures = temperatures_for(shipped_table(name, "calibration"))
    test = shipped_table(name, "test")
    before, after = (probability_quality(test, one) for one in (None, temperatures))
    for field in ("negative_log_likelihood", "calibration_error"):
        assert np.mean(getattr(after, field)) < np.mean(getattr(before, field))
