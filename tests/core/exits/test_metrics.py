import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exits.metrics import (
    auroc,
    calibration_error,
    confusion,
    most_confused,
    reliability,
    score_histogram,
)
from tests.core.exits.tables import changed, random_table

answers = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40)


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


def test_reliability_adds_up_to_the_calibration_error() -> None:
    random = np.random.default_rng(0)
    probability = random.uniform(size=500).astype(np.float32)
    right = random.uniform(size=500) < probability**2
    means, accuracies, counts = reliability(probability, right, 10)
    assert counts.sum() == 500
    error = np.nansum(counts * np.abs(means - accuracies)) / 500
    assert error == pytest.approx(calibration_error(probability, right, 10))


def test_reliability_of_an_empty_bin() -> None:
    means, accuracies, counts = reliability(np.array([0.95, 1.0]), np.array([True, False]), 10)
    assert counts.tolist() == [0] * 9 + [2]
    assert accuracies[9] == 0.5
    assert means[9] == pytest.approx(0.975)
    assert np.isnan(means[:9]).all()


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
    assert most_confused(counts, 2).tolist() == [0, 3]
    assert most_confused(counts, 3).tolist() == [0, 3]
    assert most_confused(counts, 4).tolist() == [0, 1, 3, 4]
    assert most_confused(counts, 5).tolist() == [0, 1, 2, 3, 4]
    assert most_confused(np.diag([1, 2, 3]), 3).tolist() == []
