"""Wall times are measured once; what cannot be measured is not tried at every look."""

import numpy as np

from app.turns import Turns
from app.wall_times import WallTime, WallTimes
from core.exits.policy import Policy
from core.hub.model import Model, load

PIXELS = np.zeros((28, 28, 1), np.uint8)


def test_a_time_is_measured_once_for_a_key() -> None:
    times, model = WallTimes(Turns(1)), load("eenet8-mnist")
    first = times.of("key", lambda: model, PIXELS, model.card.default_policy)
    assert first.wait(60)
    assert first.result is not None
    assert 0 < first.result.middle_half[0] <= first.result.seconds <= first.result.middle_half[1]
    assert times.of("key", lambda: model, PIXELS, model.card.default_policy) is first
    assert times.of("other", lambda: model, PIXELS, model.card.default_policy) is not first


def test_a_ratio_is_of_times_side_by_side() -> None:
    """While other work slows the machine, both times of a turn are longer, and the ratio holds."""
    whole = [1.0, 4.0, 2.0, 8.0, 1.0]
    measured = WallTime.of([one / 2 for one in whole], whole)
    assert measured.ratio == 0.5
    assert measured.ratio_middle_half == (0.5, 0.5)
    assert (measured.seconds, measured.middle_half) == (1.0, (0.5, 2.0))
    assert measured.repeats == 5


def test_a_failure_stays_one() -> None:
    times, tries = WallTimes(Turns(1)), []

    def damaged() -> Model:
        tries.append("load")
        raise OSError

    for _ in range(3):
        job = times.of("key", damaged, PIXELS, Policy.never("margin", 3))
        assert job.wait(60)
        assert job.stage == "failed"
    assert tries == ["load"]
