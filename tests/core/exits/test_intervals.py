import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exits.intervals import accuracy_interval, difference_interval, score_statistic


def test_the_interval_of_an_accuracy_is_wilsons() -> None:
    """Newcombe, Statistics in Medicine 17:857, 1998, table I: 81 of 263, 15 of 148, 0 of 20."""
    assert accuracy_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert accuracy_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert accuracy_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_the_interval_of_a_difference_ends_where_the_score_statistic_rejects() -> None:
    low, high = difference_interval(30, 12, 1000)
    assert score_statistic(30, 12, 1000, -low) == pytest.approx(-1.96, abs=1e-3)
    assert score_statistic(30, 12, 1000, -high) == pytest.approx(1.96, abs=1e-3)
    low, high = difference_interval(0, 0, 100)
    assert low == pytest.approx(-high)
    assert high == pytest.approx(1.96**2 / (100 + 1.96**2), abs=1e-4)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(120, 5000))
def test_a_difference_lies_in_its_interval_and_turns_with_its_sign(
    losses: int, gains: int, samples: int
) -> None:
    low, high = difference_interval(losses, gains, samples)
    assert -1 <= low <= (gains - losses) / samples <= high <= 1
    assert difference_interval(gains, losses, samples) == pytest.approx((-high, -low), abs=1e-9)
    wider = difference_interval(losses, gains, samples, 0.99)
    assert wider[0] <= low <= high <= wider[1]


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    for losses, gains in ((0.02, 0.005), (0.01, 0.01), (0.1, 0.06)):
        counts = random.multinomial(2000, (losses, gains, 1 - losses - gains), size=400)
        found = [difference_interval(int(one[0]), int(one[1]), 2000) for one in counts]
        covered = np.mean([low <= gains - losses <= high for low, high in found])
        assert 0.91 < covered < 0.985


def test_without_a_drop_the_statistic_is_mcnemars() -> None:
    assert score_statistic(30, 12, 1000, 0) == pytest.approx((30 - 12) / np.sqrt(42))
    assert score_statistic(0, 0, 1000, 0) == 0
    assert score_statistic(12, 30, 1000, -0.01) == pytest.approx(
        -score_statistic(30, 12, 1000, 0.01)
    )
