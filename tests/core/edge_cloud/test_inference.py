from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.edge_cloud.inference import (
    TARGETS,
    Conditions,
    InferencePlan,
    best_split,
    inference_plans,
    leaving_shares,
    weighted_percentile,
)
from core.exits.policy import Policy
from core.exits.routing import Routing, route
from core.foundation.costs import CostArray
from core.foundation.errors import UserError
from tests.core.exits.tables import random_table

STAGES, HEADS = (0.010, 0.020, 0.040), (0.001, 0.002, 0.004)
SHARES = np.array([0.5, 0.3, 0.2])
SHAPES = ((4, 16, 16), (8, 8, 8), (16, 4, 4))  # in 8 bits with scales 1056, 576 and 384 bytes
IMAGE = (3, 16, 16)  # 768 bytes
HERE = Conditions(
    rate=8000, round_trip=0.1, device_slowdown=2, cloud_speed=10, watts=3, joules_per_byte=0.01
)


def plans(
    conditions: Conditions = HERE,
    enabled: tuple[bool, ...] = (True, True),
    shares: CostArray = SHARES,
) -> tuple[InferencePlan, ...]:
    return inference_plans(STAGES, HEADS, enabled, shares, SHAPES, IMAGE, conditions)


def test_every_split_as_by_hand() -> None:
    sent, first, second, device = plans()
    assert [plan.stages_on_device for plan in plans()] == [0, 1, 2, 3]
    assert [plan.sent_as for plan in plans()] == ["picture", "picture", "features", None]
    assert [plan.message for plan in plans()] == [768, 768, 576, 0]
    assert [plan.answered for plan in plans()] == pytest.approx([0, 0.5, 0.8, 1])
    assert sent.latency == pytest.approx(0.868 + np.array([0.0011, 0.0033, 0.0077]))
    # the picture is sent, so the cloud runs the first stage again, without its head
    assert first.latency == pytest.approx([0.022, 0.022 + 0.868 + 0.0032, 0.022 + 0.868 + 0.0076])
    assert second.latency == pytest.approx([0.022, 0.066, 0.066 + 0.676 + 0.0044])
    assert device.latency == pytest.approx([0.022, 0.066, 0.154])


def test_figures_of_a_split_as_by_hand() -> None:
    second = plans()[2]
    assert second.percentile(50) == pytest.approx(0.022)
    assert second.percentile(80) == pytest.approx(0.066)
    assert second.figure("p95") == pytest.approx(0.7464)
    assert second.mean_seconds == pytest.approx((0.044, 0.2 * 0.676, 0.2 * 0.0044))
    assert second.figure("mean") == pytest.approx(second.latency @ SHARES)
    assert second.figure("bytes") == pytest.approx(0.2 * 576)
    assert second.figure("energy") == pytest.approx(3 * 0.044 + 0.2 * 576 * 0.01)


def test_an_exit_that_is_off_is_no_split_and_its_head_takes_no_time() -> None:
    found = plans(enabled=(False, True), shares=np.array([0.0, 0.7, 0.3]))
    assert [plan.stages_on_device for plan in found] == [0, 2, 3]
    assert found[-1].latency[1:] == pytest.approx([0.064, 0.152])


def test_a_plain_network_runs_here_or_there() -> None:
    alone = inference_plans([0.01], [0.001], [], np.ones(1), [(4, 4, 4)], IMAGE, HERE)
    assert [plan.answered for plan in alone] == [0, 1]
    assert [plan.message for plan in alone] == [768, 0]


@given(
    slow=some.floats(1e3, 1e9),
    faster=some.floats(1, 100),
    target=some.sampled_from(TARGETS),
    hard=some.floats(0, 1),
)
def test_a_faster_link_costs_no_plan_anything(
    slow: float, faster: float, target: str, hard: float
) -> None:
    shares = np.array([0.5 * (1 - hard), 0.5 * (1 - hard), hard])
    before = plans(replace(HERE, rate=slow), shares=shares)
    after = plans(replace(HERE, rate=slow * faster), shares=shares)
    for one, other in zip(before, after, strict=True):
        assert other.figure(target) <= one.figure(target)  # type: ignore[arg-type]


def test_the_best_split_moves_to_the_cloud_as_the_link_gets_faster() -> None:
    slow, fast = plans(replace(HERE, rate=1e3)), plans(replace(HERE, rate=1e9, round_trip=0.001))
    assert best_split(slow, "p95").stages_on_device == 3
    assert best_split(fast, "p95").stages_on_device == 0
    assert best_split(fast, "bytes").stages_on_device == 3
    with pytest.raises(UserError, match="p95, mean, bytes, energy"):
        best_split(slow, "p59")  # type: ignore[arg-type]


values = some.lists(some.floats(0, 100), min_size=20, max_size=20)


@given(values, some.lists(some.integers(0, 20), min_size=20, max_size=20).filter(any))
def test_a_weighted_percentile_is_that_of_values_repeated(
    values: list[float], counts: list[int]
) -> None:
    repeated = np.repeat(values, counts)
    weights = np.array(counts) / sum(counts)
    for percent in (50, 95):
        expected = np.percentile(repeated, percent, method="inverted_cdf")
        assert weighted_percentile(np.array(values), weights, percent) == expected


def routing(threshold: float = 0.5) -> Routing:
    table = random_table(200)
    return route(table, Policy("max_probability", (threshold,) * (table.num_exits - 1)))


def test_shares_are_those_of_the_table_or_with_other_hard_images() -> None:
    found = routing()
    exits = found.table.num_exits
    shares = leaving_shares(found)
    assert shares == pytest.approx([np.mean(found.exits == index) for index in range(exits)])
    assert 0 < shares[-1] < 1
    other = leaving_shares(found, 0.9)
    assert other[-1] == 0.9
    assert other.sum() == pytest.approx(1)
    assert other[:-1] / other[0] == pytest.approx(shares[:-1] / shares[0])
    assert leaving_shares(found, shares[-1]) == pytest.approx(shares)


def test_shares_that_there_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match=r"in \[0, 1\], but got 1\.5"):
        leaving_shares(routing(), 1.5)
    with pytest.raises(UserError, match=r"to be 1, as in the table, but got 0\.5"):
        leaving_shares(routing(1.0), 0.5)
    assert leaving_shares(routing(1.0), 1.0)[-1] == 1
    routed = routing()
    none = route(routed.table.select([]), routed.policy)
    with pytest.raises(UserError, match="at least one image"):
        leaving_shares(none)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("rate", 0), ("round_trip", -1), ("device_slowdown", 0), ("cloud_speed", np.inf)),
        *(("bits", 7), ("watts", np.nan), ("joules_per_byte", -1)),
    ],
)
def test_conditions_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match="expected"):
        replace(HERE, **{name: value})
