"""Guarantees, tested as such: over a thousand calibration sets of worlds whose risk is known."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from core.exits.criteria import CRITERIA, available
from core.exits.report import evaluate
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.costs import Costs
from core.foundation.errors import UserError
from core.hub.registry import shipped_table
from core.tuning.guarantee import (
    Simulation,
    control,
    control_along,
    risk_on,
    samples_needed,
    simulate,
)
from core.tuning.path import PATH_STEPS, Path, agreement_path, split
from core.tuning.risk import METHODS, RISKS
from tests.core.exits.tables import changed, random_table, tables

DRAWS = 1000
DELTA = 0.1
EPSILONS = {"accuracy_gap": 0.05, "ruined": 0.05, "consistency": 0.08, "brier_gap": 0.05}
PROBABLE = [name for name, method in METHODS.items() if not method.on_average]

JUDGING_ALONE = [name for name, one in CRITERIA.items() if not one.history]


def slack(share: float) -> float:
    """How far a frequency over the draws strays above its probability once in 10,000 times."""
    return float(binom.ppf(0.9999, DRAWS, share)) / DRAWS


@cache
def world() -> tuple[Path, ExitTable]:
    """A path of three exits, laid on other samples than those of the world."""
    table = random_table(3300, 3, seed=3)
    path = agreement_path(table.select(np.arange(300)), "margin")
    coarse = Path("margin", path.thresholds[::4], path.enabled[::4])
    return coarse, table.select(np.arange(300, 3300))


@cache
def simulated(method: str, risk: str) -> Simulation:
    return simulate(*world(), EPSILONS[risk], DELTA, method, risk, samples=300, draws=DRAWS, seed=5)


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("method", PROBABLE)
def test_a_guarantee_is_violated_no_more_often_than_allowed(method: str, risk: str) -> None:
    assert simulated(method, risk).violation_rate <= slack(DELTA)


@pytest.mark.parametrize("risk", RISKS)
def test_the_mean_risk_of_conformal_control_is_within_epsilon(risk: str) -> None:
    risks = simulated("crc", risk).risk
    assert risks.mean() <= EPSILONS[risk] + 3.7 * risks.std() / np.sqrt(DRAWS)


@pytest.mark.parametrize("risk", RISKS)
def test_naive_tuning_violates_the_guarantee_on_the_same_draws(risk: str) -> None:
    naive = simulated("ltt", risk)
    assert naive.naive_violation_rate > 2 * DELTA
    assert naive.naive_risk.mean() > 0.9 * EPSILONS[risk]


@pytest.mark.parametrize("method", METHODS)
def test_the_guarantee_saves_compute(method: str) -> None:
    found = simulated(method, "accuracy_gap")
    assert found.relative_cost.mean() < 0.97
    assert (found.relative_cost <= 1 + 1e-9).all()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("method", PROBABLE)
def test_a_mean_that_is_just_too_high_is_hardly_ever_certified(method: str, binary: bool) -> None:
    """The worst case of each test: the mean is epsilon itself, or just above."""
    random = np.random.default_rng(6)
    for count, mean in ((60, 0.2), (300, 0.05)):
        losses = random.uniform(size=(count, 4 * DRAWS)) < mean * (1 if binary else 4 / 3)
        sizes = 1.0 if binary else random.uniform(0.5, 1, size=losses.shape)
        passed = METHODS[method].certifies(losses * sizes, mean - 1e-9, DELTA, binary)
        assert passed.mean() <= binom.ppf(0.9999, 4 * DRAWS, DELTA) / (4 * DRAWS)


@pytest.mark.parametrize("method", METHODS)
def test_the_length_of_the_path_does_not_weaken_the_guarantee(method: str) -> None:
    """Thirty policies, each a little too risky on its own: one is bound to look good by chance."""
    random = np.random.default_rng(7)
    samples, exits, epsilon = 4000, 31, 0.1
    changes = random.uniform(size=(samples, exits)) < epsilon + 0.01
    answers = np.where(np.arange(exits) < exits - 1, changes, 0)
    table = ExitTable(
        probabilities=np.eye(2)[answers],
        confidence=None,
        labels=np.full(samples, -1),
        ids=np.arange(samples),
        costs=Costs(np.full(exits, 0.9 / exits), np.full(exits, 0.1)),
        classes=("a", "b"),
    )
    bolder = np.eye(exits, exits - 1, dtype=bool)[::-1]  # never, all at the last but one, ...
    path = Path("margin", np.full(bolder.shape, 0.5), bolder)
    found = simulate(path, table, epsilon, DELTA, method, "consistency", samples=200, draws=DRAWS)
    assert found.naive_violation_rate > 0.9
    if method == "crc":
        assert found.risk.mean() <= epsilon
    else:
        assert found.violation_rate <= slack(DELTA)


def one_exit_world(samples: int) -> tuple[Path, ExitTable]:
    """Exit 0 always answers 0, the last exit always knows better; all leave or none."""
    probabilities = np.tile([[0.9, 0.1], [0.1, 0.9]], (samples, 1, 1))
    table = ExitTable(
        probabilities=probabilities,
        confidence=None,
        labels=np.ones(samples, np.int64),
        ids=np.arange(samples),
        costs=Costs([0.3, 0.6], [0.01, 0.1]),
        classes=("a", "b"),
    )
    path = Path("margin", np.array([[1.0], [0.5]]), np.array([[False], [True]]))
    return path, table


@pytest.mark.parametrize("chance", [0.01, 0.3])
def test_the_binary_p_value_is_the_binomial_tail(chance: float) -> None:
    certifies = METHODS["ltt"].certifies
    for wrong in (0, 1, 3):
        losses = (np.arange(150) < wrong).astype(float)[:, None]
        tail = float(binom.cdf(wrong, 150, chance))
        assert certifies(losses, chance, min(tail * 1.0001, 0.9999999), True)[0]
        assert not certifies(losses, chance, tail * 0.9999, True)[0]


@settings(max_examples=30)
@given(tables(max_samples=60), st.sampled_from(JUDGING_ALONE))
def test_a_path_goes_one_way_from_never_to_the_cheapest(table: ExitTable, criterion: str) -> None:
    path = agreement_path(table, criterion)
    assert len(path) <= PATH_STEPS + 1
    assert not path.enabled[0].any()
    limits = np.where(path.enabled, path.thresholds, 2)
    assert (np.diff(limits, axis=0) <= 0).all()
    exits = path.exits(table)
    assert (exits[:, 0] == table.num_exits - 1).all()
    assert (np.diff(exits, axis=1) <= 0).all()
    for index in (0, len(path) - 1):
        assert (route(table, path.policy(index)).exits == exits[:, index]).all()


@pytest.mark.parametrize("criterion", sorted(set(CRITERIA) - set(JUDGING_ALONE)))
def test_nothing_is_guaranteed_about_a_score_that_looks_back(criterion: str) -> None:
    table = random_table(800, 3)
    with pytest.raises(UserError, match=f"but got '{criterion}', which looks back"):
        control(table, criterion, 0.1)
    assert control(table, (criterion, "margin"), 0.1).policy.criterion == "margin"


def test_a_path_is_laid_without_labels() -> None:
    table = random_table(200, 4)
    path = agreement_path(table, "entropy")
    blind = agreement_path(changed(table, labels=[-1] * 200), "entropy")
    assert (path.thresholds == blind.thresholds).all()


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("method", METHODS)
def test_the_figures_are_those_of_the_policy_on_the_judging_samples(method: str, risk: str) -> None:
    table = random_table(1200, 2, seed=1)
    found = control(table, "margin", 0.1, 0.2, method, risk)
    part, judging = split(table)
    assert (found.path_samples, found.samples) == (300, 900) == (len(part), len(judging))
    assert found.leaves_early
    assert found.relative_cost == pytest.approx(evaluate(judging, found.policy).relative_cost)
    assert found.empirical_risk == pytest.approx(risk_on(judging, found.policy, risk))
    assert found.empirical_risk < found.bound <= 0.1
    assert found.delta == (None if method == "crc" else 0.2)
    assert found.to_dict()["policy"] == found.policy.to_dict()


def test_the_two_parts_are_disjoint_and_make_up_the_table() -> None:
    part, judging = split(random_table(103))
    assert sorted([*part.ids, *judging.ids]) == list(range(103))


def test_the_judging_samples_have_no_part_in_the_path() -> None:
    """Turning the judging samples upside down changes which policy is proven, not the path."""
    table = random_table(1200, 2, seed=2)
    part, judging = split(table)
    path = agreement_path(part, "margin")
    allowed = {path.policy(index) for index in range(len(path))}
    for labels in (judging.labels, judging.answers[:, 0], judging.answers[:, -1]):
        everyone = table.labels.copy()
        everyone[judging.ids] = labels
        found = control(changed(table, labels=everyone), "margin", 0.05)
        assert found.policy in allowed


def test_more_risk_or_more_doubt_never_costs_more() -> None:
    path, table = world()
    table = table.select(range(1000))
    for method in METHODS:
        for risk in RISKS:
            costs = [
                control_along(path, table, epsilon, delta, method, risk).relative_cost
                for epsilon, delta in ((0.02, 0.05), (0.05, 0.05), (0.05, 0.3), (0.2, 0.3))
            ]
            assert (np.diff(costs) <= 1e-12).all()


def test_gains_count_only_where_the_method_lets_them() -> None:
    """Every sample is rescued but a few that are ruined, more of them than epsilon."""
    path, table = one_exit_world(1000)
    labels = (np.arange(1000) < 100).astype(int)
    mixed = changed(table, labels=labels)
    bold = path.policy(1)
    assert risk_on(mixed, bold) == pytest.approx(-0.8)
    assert risk_on(mixed, bold, "ruined") == pytest.approx(0.1)
    assert risk_on(mixed, bold, "consistency") == 1
    assert control_along(path, mixed, 0.05).leaves_early
    assert not control_along(path, mixed, 0.05, method="ltt").leaves_early
    assert not control_along(path, mixed, 0.05, risk="ruined").leaves_early


def test_the_order_of_the_samples_does_not_matter_much() -> None:
    """All losses at the end of the table would otherwise win every bet before they are seen."""
    path, table = one_exit_world(1000)
    bad_last = changed(table, labels=(np.arange(1000) >= 600).astype(int))
    assert not control_along(path, bad_last, 0.1, risk="ruined").leaves_early


def test_nothing_proven_means_never_leaving_early() -> None:
    path, table = one_exit_world(500)
    for method in METHODS:
        found = control_along(path, table, 0.05, method=method)
        assert not found.leaves_early
        assert not any(found.policy.enabled)
        assert (found.empirical_risk, found.bound, found.relative_cost) == (0, 0, 1)
        assert "For no policy that leaves early" in found.guarantee
        assert "full network" in found.guarantee


def test_a_network_without_early_exits_runs_through() -> None:
    found = control(random_table(400, 1), "margin", 0.1)
    assert found.policy.thresholds == ()
    assert not found.leaves_early
    assert found.relative_cost == pytest.approx(1)


def test_the_guarantee_is_a_plain_sentence() -> None:
    path, table = world()
    assert control_along(path, table, 0.025, 0.05).guarantee == (
        "On new samples like these, leaving early costs at most 2.5 percentage points of accuracy, "
        "compared with always running the full network; a guarantee obtained in this way from "
        "3000 calibration samples holds with a probability of at least 95 %."
    )
    assert control_along(path, table, 0.1, method="crc", risk="consistency").guarantee == (
        "On average over new samples like these, and over calibration sets of 3000 samples like "
        "this one, at most 10 % of the samples get another answer than the full network's."
    )


def test_of_several_criteria_the_best_is_taken() -> None:
    table = random_table(800, 2, seed=8)
    names = available(table)
    found = control(table, names, 0.1)
    assert found.policy.criterion in names
    useless = changed(table, confidence=np.full((800, 1), 0.5))
    assert control(useless, ("confidence", "margin"), 0.1).policy.criterion == "margin"


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("method", METHODS)
def test_so_many_samples_are_needed_and_no_fewer(method: str, risk: str) -> None:
    path, table = one_exit_world(3000)
    perfect = changed(table, probabilities=np.repeat(table.probabilities[:, 1:], 2, axis=1))
    needed = samples_needed(0.05, 0.1, method, risk)
    found = control_along(path, perfect.select(range(needed)), 0.05, 0.1, method, risk)
    assert found.leaves_early
    with pytest.raises(UserError, match=f"at least {needed} samples .* but got {needed - 1}"):
        control_along(path, perfect.select(range(needed - 1)), 0.05, 0.1, method, risk)


def test_the_samples_needed_are_those_of_the_formulas() -> None:
    assert samples_needed(0.01, method="crc") == 99
    assert samples_needed(0.01, method="crc", risk="brier_gap") == 199
    assert samples_needed(0.01, 0.1, "ltt") == np.ceil(np.log(0.1) / np.log(0.99))
    for risk in RISKS:
        assert samples_needed(0.01, 0.05, "ucb", risk) > samples_needed(0.02, 0.05, "ucb", risk)
        assert samples_needed(0.01, 0.05, "ucb", risk) > samples_needed(0.01, 0.1, "ucb", risk)


def test_the_total_that_is_asked_for_is_enough() -> None:
    table = random_table(1, 2)
    with pytest.raises(UserError, match="at least ") as caught:
        control(table, "margin", 0.05)
    total = int(str(caught.value).split("at least ")[1].split()[0])
    needed = samples_needed(0.05)
    assert total - total // 4 >= needed > (total - 1) - (total - 1) // 4
    assert control(random_table(total, 2), "margin", 0.05).samples == needed
    with pytest.raises(UserError, match=f"at least {total} samples"):
        control(random_table(total - 1, 2), "margin", 0.05)


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_levels_outside_0_and_1_are_refused(value: float) -> None:
    table = random_table(100)
    with pytest.raises(UserError, match="`epsilon` to be a fraction between 0 and 1"):
        control(table, "margin", value)
    with pytest.raises(UserError, match="`delta` to be a fraction between 0 and 1"):
        control(table, "margin", 0.1, value)


def test_what_cannot_be_controlled_is_said() -> None:
    table = random_table(400, 2, confidence=False)
    with pytest.raises(UserError, match="a million samples"):
        samples_needed(1e-9)
    with pytest.raises(UserError, match=r"risk-control method, but got 'lt'.*'ltt'"):
        control(table, "margin", 0.1, method="lt")
    with pytest.raises(UserError, match="name of a risk, but got 'brier'"):
        control(table, "margin", 0.1, risk="brier")
    with pytest.raises(UserError, match="'confidence'"):
        control(table, "confidence", 0.1)
    with pytest.raises(UserError, match="`criterion`, but got none"):
        control(table, [], 0.1)
    unlabelled = changed(table, labels=[-1, *table.labels[1:]])
    with pytest.raises(UserError, match="399 labels for 400 samples; use 'consistency'"):
        control(unlabelled, "margin", 0.1)
    assert control(unlabelled, "margin", 0.1, risk="consistency").samples == 300
    with pytest.raises(UserError, match="top 3 of 5"):
        control(table.truncated(3), "margin", 0.1, risk="brier_gap")
    with pytest.raises(UserError, match="at least 1 samples"):
        risk_on(table.select([]), control(table, "margin", 0.1).policy)
    with pytest.raises(UserError, match="`draws` to be 1 or more"):
        simulate(*world(), 0.1, draws=0)
    with pytest.raises(UserError, match="but got 5;"):
        simulate(*world(), 0.1, samples=5)


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("method", METHODS)
def test_a_shipped_model_saves_compute_and_keeps_its_guarantee_on_the_test_split(
    method: str, risk: str
) -> None:
    found = control(
        shipped_table("eenet8-mnist", "calibration"), "max_probability", 0.02, 0.1, method, risk
    )
    test = shipped_table("eenet8-mnist", "test")
    assert found.relative_cost < 1
    assert evaluate(test, found.policy).relative_cost < 1
    assert risk_on(test, found.policy, risk) <= 0.02
