from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from core.deploy.benchmark import (
    FEWEST_IMAGES,
    measure_speedup,
    median_seconds_of_each,
    time_models,
    time_parts,
)
from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.hub.model import load

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)


class Clock:
    """A clock that stands still but for what is done to it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


def test_all_run_in_turns_after_a_warm_up_and_the_median_counts() -> None:
    clock = Clock()
    calls: list[str] = []
    times = {"a": iter([99.0, 2.0, 50.0, 1.0]), "b": iter([99.0, 8.0, 4.0, 6.0])}

    def run(name: str) -> None:
        calls.append(name)
        clock.passes(next(times[name]))

    runs = [partial(run, "a"), partial(run, "b")]
    assert median_seconds_of_each(runs, repeats=3, clock=clock) == [2, 6]
    assert calls == ["a", "b"] * 4


class Timed:
    """A model whose stages take 1, 2, 3 s, its heads 10, 20, 30 s, by a clock of its own."""

    device = torch.device("cpu")
    num_exits = 3

    def __init__(self, clock: Clock, whole: float = 0.0) -> None:
        self.clock, self.whole = clock, whole
        self.seen: list[tuple[int, int]] = []

    @property
    def network(self) -> Any:
        return self

    def normalised(self, images: np.ndarray) -> torch.Tensor:
        return torch.zeros(len(images))

    def stage(self, index: int, features: torch.Tensor) -> torch.Tensor:
        assert int(features[0]) == index  # each gets what the stage before it made
        self.clock.passes(1 + index)
        return features + 1

    def head(self, index: int, features: torch.Tensor) -> None:
        assert int(features[0]) == index + 1
        self.clock.passes(10 * (1 + index))

    def predict(self, images: np.ndarray, policy: Policy, batch_size: int) -> Any:
        self.seen.append((len(images), batch_size))
        self.clock.passes(self.whole)


def test_each_configuration_is_timed_on_the_same_images() -> None:
    clock = Clock()
    models = [Timed(clock, whole) for whole in (FEWEST_IMAGES * 3.0, FEWEST_IMAGES * 1.5)]
    policy = Policy("margin", [0, 0])
    timing = time_models([(model, policy) for model in models], IMAGES, 64, 2, clock)
    assert (timing.batch_size, timing.images) == (64, FEWEST_IMAGES)
    assert timing.seconds == (3, 1.5)
    assert timing.ratio == 0.5
    assert timing.to_dict() == {"plain_ms": 3000, "early_exit_ms": 1500, "time_ratio": 0.5}
    assert [model.seen for model in models] == [[(FEWEST_IMAGES, 64)] * 3] * 2


def test_every_part_of_a_network_is_timed_by_itself() -> None:
    clock = Clock()
    times = time_parts(Timed(clock), IMAGES, batch_size=2, repeats=3, clock=clock)
    assert times.stages == (0.5, 1, 1.5)
    assert times.heads == (5, 10, 15)
    assert times.plain == (1 + 2 + 3 + 30) / 2
    assert times.stage_shares == tuple(stage / 18 for stage in (0.5, 1, 1.5))


def test_a_policy_for_another_network_cannot_be_timed() -> None:
    with pytest.raises(UserError, match="thresholds"):
        time_models([(load("eenet8-mnist"), Policy("margin", [0.5]))], IMAGES, 64, 1)


def test_a_speedup_reports_the_cost_of_the_very_images() -> None:
    never = Policy.never("entropy", 3)
    speedup = measure_speedup(load("eenet8-mnist"), never, IMAGES, batch_size=130, repeats=1)
    assert speedup.timing.images == 130
    assert speedup.relative_cost == pytest.approx(1)
