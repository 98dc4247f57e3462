import numpy as np
import pytest

from core.deploy.benchmark import (
    FEWEST_IMAGES,
    measure_speedup,
    median_seconds_of_each,
    time_models,
)
from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.hub.model import load

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)


def test_all_run_in_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    times = median_seconds_of_each(
        [lambda: calls.append("a"), lambda: calls.append("b")], repeats=3
    )
    assert calls == ["a", "b"] * 4
    assert len(times) == 2
    assert all(time >= 0 for time in times)


def test_each_configuration_is_timed_on_the_same_images() -> None:
    exits, plain = load("eenet8-mnist"), load("resnet8-mnist")
    entries = [(exits, Policy("margin", [0, 0])), (plain, Policy("margin", []))]
    timing = time_models(entries, IMAGES, 64, 1)
    assert (timing.batch_size, timing.images) == (64, FEWEST_IMAGES)
    assert len(timing.seconds) == 2
    assert all(seconds > 0 for seconds in timing.seconds)
    assert timing.ratio == timing.seconds[1] / timing.seconds[0]


def test_a_policy_for_another_network_cannot_be_timed() -> None:
    with pytest.raises(UserError, match="thresholds"):
        time_models([(load("eenet8-mnist"), Policy("margin", [0.5]))], IMAGES, 64, 1)


def test_a_speedup_reports_the_cost_of_the_very_images() -> None:
    never = Policy.never("entropy", 3)
    speedup = measure_speedup(load("eenet8-mnist"), never, IMAGES, batch_size=130, repeats=1)
    assert speedup.timing.images == 130
    assert speedup.relative_cost == pytest.approx(1)
