"""Controllers hold the cost of streams that change."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from core.exits.cost_controller import HALF_LIFE, HeldCost, Stream, route_stream
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.hub.registry import shipped_table
from tests.core.exits.tables import random_table

TOLERANCE = 0.02
"""Of the plain network's compute: how near the held cost is once the old scores are forgotten."""
FORGOTTEN = 8 * HALF_LIFE
POLICY = Policy("confidence", [0.6, 0.7, 0.8])


def two_parts(calibration: int, stream: int, seed: int = 1) -> tuple[ExitTable, ExitTable]:
    """Images for calibration and further ones, of one network."""
    table = random_table(calibration + stream, seed=seed)
    return table.select(np.arange(calibration)), table.select(np.arange(calibration, len(table)))


def drifted(table: ExitTable, slope: float, shift: float) -> ExitTable:
    """The table with logits of the confidence moved: the order of scores stays."""
    assert table.confidence is not None
    inner = table.confidence.astype(np.float64).clip(1e-6, 1 - 1e-6)
    logits = slope * np.log(inner / (1 - inner)) + shift
    return replace(table, confidence=(1 / (1 + np.exp(-logits))).astype(np.float32))


def cost_after(stream: Stream, images: int) -> float:
    return float(stream.costs[images:].mean())


@settings(max_examples=10, phases=[Phase.generate])
@given(
    slope=st.floats(0.3, 3),
    shift=st.floats(-4, 4),
    batch_size=st.sampled_from([16, 32, 256]),
    seed=st.integers(0, 1000),
)
def test_the_cost_is_held_whatever_monotone_change_the_scores_undergo(
    slope: float, shift: float, batch_size: int, seed: int
) -> None:
    calibration, stream = two_parts(4000, FORGOTTEN + 4000, seed)
    held = HeldCost.of(calibration, POLICY)
    routed = route_stream(drifted(stream, slope, shift), held.start(), batch_size)
    assert abs(cost_after(routed, FORGOTTEN) - held.relative_cost) < TOLERANCE


@pytest.mark.parametrize("shift", [-2, 2])
def test_a_fixed_policy_drifts_where_the_controller_holds(shift: float) -> None:
    calibration, stream = two_parts(4000, 4000)
    held = HeldCost.of(calibration, POLICY)
    changed = drifted(stream, 1, shift)
    fixed = abs(float(route(changed, POLICY).costs.mean()) - held.relative_cost)
    assert fixed > 5 * TOLERANCE
    from_the_start = route_stream(changed, held.start(), 64).relative_cost
    assert abs(from_the_start - held.relative_cost) < fixed / 2


@pytest.mark.parametrize("half_life", [50, 400])
def test_a_stream_that_goes_back_is_followed_within_half_lives(half_life: int) -> None:
    forgotten = 8 * half_life
    calibration, stream = two_parts(4000, 3 * (forgotten + 2000))
    held = HeldCost.of(calibration, POLICY, half_life)
    controller = held.start()
    for part, shift in zip(np.split(np.arange(len(stream)), 3), (0.0, 3.0, 0.0), strict=True):
        routed = route_stream(drifted(stream.select(part), 1, shift), controller, 32)
        assert abs(cost_after(routed, forgotten) - held.relative_cost) < 2 * TOLERANCE
    np.testing.assert_allclose(controller.policy.thresholds, POLICY.thresholds, atol=0.15)


def test_one_image_at_a_time() -> None:
    calibration, stream = two_parts(1000, 900)
    held = HeldCost.of(calibration, POLICY, half_life=50)
    routed = route_stream(drifted(stream, 1, 2), held.start(), 1)
    assert abs(cost_after(routed, 400) - held.relative_cost) < 3 * TOLERANCE


def test_images_like_those_of_calibration_leave_the_thresholds_where_they_are() -> None:
    calibration, stream = two_parts(4000, 2000)
    routed = route_stream(stream, HeldCost.of(calibration, POLICY).start(), 100)
    np.testing.assert_array_equal(routed.thresholds[0], POLICY.thresholds)
    np.testing.assert_allclose(routed.thresholds, np.tile(POLICY.thresholds, (20, 1)), atol=0.1)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_can_be_held(criterion: str) -> None:
    calibration, images = two_parts(3000, 3000)
    held = HeldCost.of(calibration, Policy(criterion, [0.5, 0.5, 0.5], [True, False, True]))
    stream = route_stream(images, held.start(), 64)
    assert abs(stream.relative_cost - held.relative_cost) < 2 * TOLERANCE
    assert set(stream.exits) <= {0, 2, 3}
    np.testing.assert_array_equal(stream.thresholds[:, 1], 0.5)


def test_labels_are_never_read() -> None:
    table, stream = random_table(500, seed=1), random_table(500, seed=2)
    unlabelled = replace(table, labels=np.full(500, -1)), replace(stream, labels=np.full(500, -1))
    with_labels = route_stream(stream, HeldCost.of(table, POLICY).start(), 50)
    without = route_stream(unlabelled[1], HeldCost.of(unlabelled[0], POLICY).start(), 50)
    np.testing.assert_array_equal(with_labels.exits, without.exits)
    assert np.isnan(without.accuracy)


def test_a_stream_may_be_continued() -> None:
    held = HeldCost.of(random_table(500, seed=1), POLICY)
    table = drifted(random_table(600, seed=2), 1, 2)
    whole = route_stream(table, held.start(), 50)
    controller = held.start()
    parts = [
        route_stream(table.select(np.arange(first, first + 200)), controller, 50)
        for first in (0, 200, 400)
    ]
    np.testing.assert_array_equal(whole.exits, np.concatenate([part.exits for part in parts]))


def test_equal_scores_leave_together_on_the_nearer_side() -> None:
    table = random_table(1000, exits=2, seed=1)
    held = HeldCost.of(table, Policy("confidence", [0.5]))
    same = replace(table, confidence=np.full((1000, 1), 0.3, np.float32))
    controller = held.start()
    stream = route_stream(same, controller, 10)
    nearer = 0.0 if held.leave_rates[0] < 0.5 else 1.0
    assert np.mean(stream.exits[-100:] == 0) == nearer


def test_exits_that_nobody_reaches_keep_their_thresholds() -> None:
    table = random_table(300, exits=3, seed=1)
    held = HeldCost.of(table, Policy("confidence", [0.0, 0.4]))
    stream = route_stream(random_table(300, exits=3, seed=2), held.start(), 30)
    assert held.leave_rates == (1.0, 0.0)
    np.testing.assert_array_equal(stream.exits, 0)
    np.testing.assert_array_equal(stream.thresholds[:, 1], 0.4)


def test_a_shipped_model_holds_its_cost_on_test_images() -> None:
    calibration, test = (
        shipped_table("eenet20-cifar10", split) for split in ("calibration", "test")
    )
    held = HeldCost.of(calibration, Policy("confidence", [0.9, 0.9, 0.9]))
    stream = route_stream(test, held.start(), 64)
    assert abs(stream.relative_cost - held.relative_cost) < 0.005
    assert sum(stream.exit_share) == pytest.approx(1)
    assert abs(stream.accuracy - route(test, held.policy).accuracy()) < 0.01


def test_what_cannot_be_held_is_said() -> None:
    table = random_table(10)
    with pytest.raises(UserError, match="`half_life` to be at least 1"):
        HeldCost.of(table, POLICY, 0)
    with pytest.raises(UserError, match="it is empty"):
        HeldCost.of(table.select([]), POLICY)
    with pytest.raises(UserError, match="samples to stream"):
        route_stream(table.select([]), HeldCost.of(table, POLICY).start(), 8)
