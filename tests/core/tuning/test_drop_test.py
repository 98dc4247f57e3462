"""The test of a drop: as exact as it says, and more powerful than a bound by betting."""

import numpy as np
import pytest
from scipy.stats import binom, multinomial

from core.tuning.drop_test import DropTest, drop_bound
from core.tuning.risk import METHODS


def chance_of_proof(test: DropTest, losses: float, gains: float) -> float:
    """Return the exact probability of a proof, image by image, for small n."""
    total = 0.0
    for lost in range(test.samples + 1):
        gained = np.arange(test.samples + 1 - lost)
        proven = test.proves(np.full_like(gained, lost), gained)
        counts = np.stack(
            [np.full_like(gained, lost), gained, test.samples - lost - gained], axis=1
        )
        total += multinomial.pmf(counts, test.samples, (losses, gains, 1 - losses - gains)) @ proven
    return total


@pytest.mark.parametrize("samples", [7, 40])
@pytest.mark.parametrize("max_drop", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.99])
def test_a_drop_just_above_is_proven_no_more_often_than_allowed(
    samples: int, max_drop: float, confidence: float
) -> None:
    test = DropTest.of(samples, max_drop, confidence)
    for gains in np.linspace(0, (1 - max_drop) / 2, 12)[:-1]:
        for drop in (max_drop, max_drop + 0.03):
            if 2 * gains + drop < 1:
                assert chance_of_proof(test, gains + drop, gains) <= 1 - confidence + 1e-3


def test_a_proof_survives_a_loss_less_and_a_gain_more() -> None:
    """So the worst case of all drops above D is D itself."""
    for samples, max_drop in ((30, 0.05), (200, 0.0), (1000, 0.005)):
        most = DropTest.of(samples, max_drop, 0.9).most_losses
        steps = np.diff(most)
        assert ((steps == 0) | (steps == 1)).all()


def test_without_gains_it_is_the_binomial_test_or_stricter() -> None:
    test = DropTest.of(400, 0.02, 0.9)
    losses = np.arange(12)
    proven = test.proves(losses, np.zeros_like(losses))
    assert proven[0]
    assert (binom.cdf(losses[proven], 400, 0.02) <= 0.1 + 1e-9).all()


def test_more_confidence_or_a_smaller_drop_proves_less() -> None:
    base = DropTest.of(1000, 0.01, 0.9).most_losses
    assert (DropTest.of(1000, 0.01, 0.95).most_losses <= base).all()
    assert (DropTest.of(1000, 0.005, 0.9).most_losses <= base).all()
    assert (DropTest.of(1000, 1.0, 0.9).most_losses == np.arange(1001)).all()


def test_too_few_images_prove_nothing() -> None:
    assert (DropTest.of(1, 0.01, 0.9).most_losses == -1).all()


def test_the_bound_is_the_smallest_drop_that_is_proven() -> None:
    for losses, gains, samples in ((30, 20, 3000), (0, 0, 500), (5, 12, 800)):
        bound = drop_bound(losses, gains, samples, 0.9)
        for drop, expected in ((bound + 1e-4, True), (bound - 1e-4, False)):
            if drop > 0:
                test = DropTest.of(samples, drop, 0.9)
                assert bool(test.proves(np.array(losses), np.array(gains))) is expected


def test_it_proves_more_often_than_betting() -> None:
    random = np.random.default_rng(1)
    counts = random.multinomial(3000, (0.012, 0.010, 0.978), size=400)
    exact = DropTest.of(3000, 0.006, 0.9).proves(counts[:, 0], counts[:, 1])
    losses = np.zeros((3000, 400))
    for column, (lost, gained, _) in enumerate(counts):
        losses[:lost, column], losses[lost : lost + gained, column] = 1, -1
        random.shuffle(losses[:, column])
    bet = METHODS["ucb"].certifies((losses + 1) / 2, 1.006 / 2, 0.1, False)
    assert exact.mean() > bet.mean() + 0.05


@pytest.mark.parametrize(("losses", "gains"), [(0, 0), (0, 3), (2, 40), (0, 500), (100, 600)])
def test_where_gains_prevail_the_bound_is_still_no_less_than_nothing(
    losses: int, gains: int
) -> None:
    bound = drop_bound(losses, gains, 1000, 0.9)
    assert 0 <= bound <= 0.01
    assert DropTest.of(1000, bound + 1e-4, 0.9).proves(np.array([losses]), np.array([gains])).all()
