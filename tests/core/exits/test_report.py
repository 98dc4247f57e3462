import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.report import (
    auroc,
    calibration_error,
    confusion,
    evaluate,
    exits_alone,
    flips,
    most_mixed_up,
    reliability,
    saved,
    score_histogram,
)
from core.exits.routing import decide
from core.exits.table import ExitTable
from tests.core.exits.tables import changed, random_table
from tests.core.exits.test_routing import tables_with_policies

answers = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40)


@given(tables_with_policies())
def test_a_report_agrees_with_the_decisions(case: tuple[ExitTable, Policy]) -> None:
    table, policy = case
    report, decision = evaluate(table, policy), decide(table, policy)
    last = table.answers[:, -1] == table.labels
    right = decision.answers == table.labels
    assert report.samples == len(table)
    assert report.accuracy == np.mean(right)
    assert report.relative_cost == pytest.approx(
        np.dot(report.exit_share, table.relative_costs(policy.enabled))
    )
    assert sum(report.exit_share) == pytest.approx(1)
    assert report.accuracy - last.mean() == pytest.approx(
        (report.rescued - report.ruined) / len(table)
    )
    for exit_index in range(table.num_exits):
        left = decision.exits == exit_index
        assert report.exit_share[exit_index] == left.mean()
        if left.any():
            assert report.accuracy_of_left[exit_index] == right[left].mean()
        else:
            assert math.isnan(report.accuracy_of_left[exit_index])


def test_flips_are_told_by_sample() -> None:
    table = random_table(300)
    decision = decide(table, Policy("max_probability", [0.5] * 3))
    rescued, ruined = flips(table, decision)
    last = table.answers[:, -1]
    assert rescued.any()
    assert ruined.any()
    assert (decision.answers[rescued] == table.labels[rescued]).all()
    assert (last[rescued] != table.labels[rescued]).all()
    assert (decision.answers[ruined] != table.labels[ruined]).all()
    assert (last[ruined] == table.labels[ruined]).all()


@given(answers)
def test_auroc_counts_the_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 8 for score, _ in pairs], np.float32)
    right = np.array([flag for _, flag in pairs])
    gaps = scores[right][:, None] - scores[~right][None, :]
    area = auroc(scores, right)
    if gaps.size:
        assert area == pytest.approx(((gaps > 0) + (gaps == 0) / 2).mean())
    else:
        assert math.isnan(area)


def test_calibration_error_is_the_gap_between_sureness_and_accuracy() -> None:
    probability = np.array([0.9, 0.9, 0.9, 0.9, 0.3, 0.3])
    right = np.array([True, True, True, False, False, False])
    assert calibration_error(probability, right) == pytest.approx((4 * 0.15 + 2 * 0.3) / 6)
    assert calibration_error(np.ones(4), np.ones(4, bool)) == 0
    assert math.isnan(calibration_error(np.empty(0), np.empty(0, bool)))


@given(answers, st.integers(1, 20))
def test_a_histogram_counts_every_sample_once(pairs: list[tuple[int, bool]], bins: int) -> None:
    scores = np.array([score / 8 for score, _ in pairs], np.float32)
    right = np.array([flag for _, flag in pairs])
    rights, wrongs = score_histogram(scores, right, bins)
    edges = np.linspace(0, 1, bins + 1)
    assert rights.shape == wrongs.shape == (bins,)
    assert rights.sum() == right.sum()
    assert (rights + wrongs).sum() == len(pairs)
    if bins in (1, 2, 4, 8, 16):
        np.testing.assert_array_equal(rights, np.histogram(scores[right], edges)[0])


def test_the_last_exit_is_ranked_too() -> None:
    table = random_table(300)
    learned = evaluate(table, Policy.never("confidence", 4))
    largest = evaluate(table, Policy.never("max_probability", 4))
    assert learned.auroc[:3] != largest.auroc[:3]
    assert learned.auroc[3] == largest.auroc[3]


def test_unlabelled_samples_count_for_cost_and_not_for_accuracy() -> None:
    table = random_table(100)
    policy = Policy("margin", [0.4] * 3)
    labels = np.where(np.arange(100) < 60, table.labels, -1)
    partly, known = changed(table, labels=labels), table.select(np.arange(60))
    assert evaluate(partly, policy).accuracy == evaluate(known, policy).accuracy
    assert evaluate(partly, policy).auroc == evaluate(known, policy).auroc
    assert evaluate(partly, policy).relative_cost == evaluate(table, policy).relative_cost


@pytest.mark.parametrize("samples", [0, 3])
def test_what_is_undefined_is_null_in_json(samples: int) -> None:
    table = changed(random_table(3), labels=[-1] * 3).select(np.arange(samples))
    report = evaluate(table, Policy("entropy", [0.5] * 3))
    assert math.isnan(report.accuracy)
    value = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert value["accuracy"] is None
    assert value["auroc"] == [None] * 4
    assert value["samples"] == samples


@pytest.mark.parametrize("name", list(CRITERIA))
def test_a_plain_network_has_a_report(name: str) -> None:
    table = random_table(20, exits=1)
    report = evaluate(table, Policy(name, []))
    assert report.accuracy == table.accuracy_per_exit[0]
    assert report.relative_cost == pytest.approx(1)


def test_a_network_cut_off_at_an_exit_computes_no_other_head() -> None:
    table = random_table(exits=3)
    costs, accuracies = exits_alone(table)
    assert costs[-1] == pytest.approx(1)
    assert accuracies.tolist() == table.accuracy_per_exit.tolist()
    for exit_index in range(2):
        only = [index == exit_index for index in range(2)]
        assert costs[exit_index] == pytest.approx(table.relative_costs(only)[exit_index])


def test_who_spends_more_than_the_plain_network_saves_less_than_nothing() -> None:
    assert saved(0.25) == 0.75
    assert saved(1.02) < 0


def test_reliability_adds_up_to_the_calibration_error() -> None:
    random = np.random.default_rng(0)
    probability = random.uniform(size=500).astype(np.float32)
    right = random.uniform(size=500) < probability**2
    said, was, counts = reliability(probability, right, 10)
    assert counts.sum() == 500
    error = np.nansum(counts * np.abs(said - was)) / 500
    assert error == pytest.approx(calibration_error(probability, right, 10))


def test_reliability_of_an_empty_bin() -> None:
    said, was, counts = reliability(np.array([0.95, 1.0]), np.array([True, False]), 10)
    assert counts.tolist() == [0] * 9 + [2]
    assert was[9] == 0.5
    assert said[9] == pytest.approx(0.975)
    assert np.isnan(said[:9]).all()


def test_confusion_counts_every_labelled_sample() -> None:
    table = random_table(samples=80, exits=3, classes=4)
    for exit_index in range(3):
        found = confusion(table, exit_index)
        assert found.shape == (4, 4)
        assert np.trace(found) == table.right[:, exit_index].sum()
        assert found.sum(axis=1).tolist() == np.bincount(table.labels, minlength=4).tolist()
    unknown = changed(table, labels=np.full(80, -1))
    assert confusion(unknown, 0).sum() == 0


def test_the_classes_that_are_mixed_up_most_often() -> None:
    counts = np.diag([50, 60, 70, 80, 90])
    counts[0, 3], counts[3, 0] = 2, 3
    counts[1, 4], counts[2, 4] = 4, 1
    assert most_mixed_up(counts, 2).tolist() == [0, 3]
    assert most_mixed_up(counts, 3).tolist() == [0, 3]
    assert most_mixed_up(counts, 4).tolist() == [0, 1, 3, 4]
    assert most_mixed_up(counts, 5).tolist() == [0, 1, 2, 3, 4]
    assert most_mixed_up(np.diag([1, 2, 3]), 3).tolist() == []
