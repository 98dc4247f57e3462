"""A compute budget that is held: from the best policy within it."""

import numpy as np

import core
from core.exits.cost_controller import HALF_LIFE, route_stream
from core.hub.registry import shipped_table


def test_the_policy_is_the_best_within_the_cost_and_its_cost_is_held() -> None:
    calibration, test = (shipped_table("eenet8-mnist", split) for split in ("calibration", "test"))
    held = core.hold_cost(calibration, 0.2, "confidence")
    assert held.policy == core.tune(calibration, max_cost=0.2, criterion="confidence")
    assert held.relative_cost == core.evaluate(calibration, held.policy).relative_cost <= 0.2
    assert held.half_life == HALF_LIFE
    assert core.hold_cost(calibration, 0.2, "confidence", 50).half_life == 50
    stream = route_stream(test, held.start(), 64)
    assert abs(stream.relative_cost - held.relative_cost) < 0.005


def test_a_controller_goes_on_over_several_calls() -> None:
    model = core.load("eenet8-mnist")
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28, 1), np.uint8)
    held = core.hold_cost(model.shipped_table("calibration"), 0.2, "confidence", half_life=10)
    whole, parts = held.start(), held.start()
    at_once = model.predict(images, whole, batch_size=20)
    in_parts = [model.predict(images[first : first + 20], parts) for first in (0, 20, 40)]
    np.testing.assert_array_equal(at_once.exits, np.concatenate([one.exits for one in in_parts]))
    assert whole.policy == parts.policy != held.policy
