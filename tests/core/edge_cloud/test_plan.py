from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.edge_cloud.measure import time_training
from core.edge_cloud.plan import (
    FASTEST,
    SLOWEST,
    Plan,
    TrainingTimes,
    batches_in,
    best,
    parse_rate,
    plans,
    rate_text,
    stretches,
    timeline,
)
from core.edge_cloud.traffic import feature_bytes, image_bytes, label_bytes
from core.foundation.errors import UserError
from tests.core.networks.small import spec

TIMES = TrainingTimes(
    batch_size=100,
    threads=1,
    stage_forward=(0.10, 0.05, 0.05),
    stage_backward=(0.20, 0.10, 0.10),
    head_forward=(0.01, 0.02, 0.03),
    head_backward=(0.02, 0.04, 0.06),
)
NAMES = ("first", "second", "final")
SHAPES = ((16, 32, 32), (32, 16, 16), (64, 8, 8))
WHOLE = 0.10 + 0.05 + 0.05 + 0.20 + 0.10 + 0.10 + 0.01 + 0.02 + 0.03 + 0.02 + 0.04 + 0.06
BATCHES = 10

seconds = some.floats(0.001, 2)
some_plan = some.builds(
    Plan,
    name=some.just("x"),
    kind=some.just("split"),
    batch_size=some.just(100),
    forward=seconds,
    backward=seconds,
    message=some.integers(1, 10**7),
    cloud=seconds,
)


def choices(bits: int = 32, cloud_speed: float = 1.0) -> tuple[Plan, ...]:
    return plans(TIMES, NAMES, SHAPES, (3, 32, 32), 10, bits, cloud_speed)


def test_each_early_exit_is_a_split_and_each_place_may_have_all() -> None:
    found = choices()
    assert [plan.kind for plan in found] == ["edge", "split", "split", "cloud"]
    assert [plan.name for plan in found[1:-1]] == ["first", "second"]


def test_who_computes_what() -> None:
    edge, first, second, cloud = choices(cloud_speed=10)
    assert edge.edge == pytest.approx(WHOLE)
    assert edge.message == 0
    assert first.edge == pytest.approx(0.10 + 0.20 + 0.01 + 0.02)
    assert first.forward == pytest.approx(0.10)  # its head reads after the features have left
    assert 10 * first.cloud == pytest.approx(WHOLE - first.edge)
    assert 10 * second.cloud == pytest.approx(WHOLE - second.edge)
    assert cloud.edge == 0
    assert cloud.cloud == pytest.approx(WHOLE / 10)


def test_what_travels() -> None:
    labels = label_bytes(100, 10)
    for bits in (32, 16, 8):
        found = choices(bits)
        assert found[1].message == feature_bytes(100, SHAPES[0], bits) + labels
        assert found[-1].message == image_bytes(100, (3, 32, 32)) + labels
    assert found[1].bytes(7) == 7 * found[1].message


@given(some_plan, some.floats(1e4, 1e10), some.integers(1, 40))
def test_the_formula_gives_the_end_of_the_time_line(plan: Plan, rate: float, count: int) -> None:
    end = max(bar.end for bar in timeline(plan, rate, count))
    assert plan.seconds(rate, count) == pytest.approx(end)


@given(some_plan, some.floats(1e4, 1e10))
def test_each_station_serves_one_batch_at_a_time_in_order(plan: Plan, rate: float) -> None:
    bars = timeline(plan, rate, 8)
    for lanes in (("edge forward", "edge backward"), ("link",), ("cloud",)):
        own = [bar for bar in bars if bar.lane in lanes]
        assert all(a.end <= b.start + 1e-9 for a, b in pairwise(own))
        assert [bar.batch for bar in own] == sorted(bar.batch for bar in own)
    link = {bar.batch: bar for bar in bars if bar.lane == "link"}
    for bar in bars:
        if bar.lane == "edge forward":
            assert bar.end <= link[bar.batch].start + 1e-9
        if bar.lane == "cloud":
            assert link[bar.batch].end <= bar.start + 1e-9


def test_all_on_the_edge_needs_no_link() -> None:
    edge = choices()[0]
    assert edge.seconds(1e3, 20) == edge.seconds(1e9, 20) == pytest.approx(20 * WHOLE)
    assert {bar.lane for bar in timeline(edge, 1e6, 2)} == {"edge forward", "edge backward"}


def test_no_link_no_cloud_and_a_fast_link_with_a_fast_cloud_all_of_it() -> None:
    found = choices(bits=8, cloud_speed=1000)
    assert best(found, SLOWEST, BATCHES).kind == "edge"
    assert best(found, FASTEST, BATCHES).kind == "cloud"


@pytest.mark.parametrize("cloud_speed", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("bits", [32, 16, 8])
def test_stretches_cover_all_rates_and_name_the_best(bits: int, cloud_speed: float) -> None:
    found = choices(bits, cloud_speed)
    parts = stretches(found, BATCHES)
    assert parts[0].slowest == SLOWEST
    assert parts[-1].fastest == FASTEST
    for part, following in pairwise(parts):
        assert part.fastest == following.slowest
        assert part.plan != following.plan
        at = part.fastest  # where they cross, both take as long
        assert part.plan.seconds(at, BATCHES) == pytest.approx(
            following.plan.seconds(at, BATCHES), rel=1e-3
        )
    for part in parts:
        middle = (part.slowest * part.fastest) ** 0.5
        assert best(found, middle, BATCHES) == part.plan


def test_the_median_time_of_every_part_is_measured_after_a_warm_up() -> None:
    """A clock that goes on by 1, 2, 4, 8 s: forward, head, head's step, backward."""
    exits, now = 3, 0.0
    rounds = [100.0, 1.0, 3.0, 2.0]  # the first warms up; the median of the others is 2
    steps = iter(
        [step * slow for slow in rounds for _ in range(exits) for step in (0.5, 1, 2, 4, 8)]
    )

    def clock() -> float:
        nonlocal now
        now += next(steps)
        return now

    times = time_training(spec(confidence=False), batch_size=4, repeats=3, clock=clock)
    assert times.batch_size == 4
    assert times.stage_forward == (2.0,) * exits
    assert times.head_forward == (4.0,) * exits
    assert times.head_backward == (8.0,) * exits
    assert times.stage_backward == (16.0,) * exits
    assert times.forward(0, exits) == exits * (2 + 4)
    assert next(steps, None) is None


@pytest.mark.parametrize(
    ("text", "rate"), [("10M", 1e7), ("250k", 2.5e5), ("1.5G", 1.5e9), ("9600", 9600.0)]
)
def test_rates_are_read(text: str, rate: float) -> None:
    assert parse_rate(text) == rate
    assert parse_rate(f"{rate:.15g}") == rate


@pytest.mark.parametrize("text", ["", "M", "fast", "0", "-1M", "nan", "inf", "10 MB"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="bits per second"):
        parse_rate(text)


def test_rates_are_written() -> None:
    assert [rate_text(one) for one in (500, 2.5e5, 1e6, 999_999, 1.5e9)] == [
        "500 bit/s",
        "250 kbit/s",
        "1 Mbit/s",
        "1 Mbit/s",
        "1.5 Gbit/s",
    ]


def test_what_cannot_be_planned_is_a_sentence() -> None:
    with pytest.raises(UserError, match="32, 16 or 8, but got 12"):
        choices(bits=12)
    with pytest.raises(UserError, match="more than 0 times"):
        choices(cloud_speed=0)
    with pytest.raises(UserError, match="early exits"):
        plans(TIMES, ("final",), SHAPES[:1], (3, 32, 32), 10, 32)
    with pytest.raises(UserError, match="more than 0 bits per second"):
        best(choices(), 0, 1)


def test_an_epoch_has_whole_batches() -> None:
    assert [batches_in(images, 128) for images in (45_000, 128, 5)] == [351, 1, 1]
