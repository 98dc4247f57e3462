"""Thresholds with a guarantee: an upper bound on the risk of leaving early, and its certainty.

A *path* is a fixed sequence of policies, from one that never leaves early to one that leaves as
early as possible. A method goes along the path, tests for each policy whether the calibration
samples prove that its risk is at most ε, and stops at the first policy that fails. Two rules keep
this valid:

- The path is constructed from other samples than those that test it: a quarter of the calibration
  split constructs it (and selects the criterion where there is a choice), the rest tests it. The
  guarantee holds for *any* path that does not depend on the test samples.
- The order is fixed beforehand and the tests end at the first failure. A wrong guarantee needs the
  first policy of the path whose risk is above ε to pass its one test, and that has probability at
  most δ, however long the path and whether or not the risk rises along it. So every policy that
  passed is proven at once, and the cheapest of them may be taken.

Conformal risk control guarantees the mean instead, and needs losses that only rise along the path.
A sample may well be answered wrongly at one exit and rightly at the one before, so what is tested
is its largest loss so far, which rises by construction and is never below the loss itself. That
makes the guarantee exact for every number of samples.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import route
from core.exits.table import BoolArray, CostArray, ExitTable, IntArray
from core.foundation.errors import UserError
from core.tuning.path import PATH_PART, Path, agreement_path, split
from core.tuning.risk import METHODS, RISKS, ROUNDING, Method, Risk

DELTA = 0.1

_BLOCK = 16  # policies tested at a time
_MOST_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Controlled:
    """A policy and the guarantee that holds for it.

    Attributes:
        policy: the cheapest policy that is proven.
        guarantee: a sentence for the user.
        leaves_early: False where only the full network could be proven.
        empirical_risk: mean loss on the test samples, gains included whatever the method.
        bound: the smallest ε that the method would guarantee for this policy; <= epsilon.
        relative_cost: on the test samples, in units of the plain network.
        samples: number of test samples.
        path_samples: number of samples that the path was constructed from; 0 for a given path.
        risk: its name in `RISKS`.
        method: its name in `METHODS`.
        epsilon: the highest risk allowed.
        delta: the probability of a wrong guarantee; None where the guarantee is one on average.
    """

    policy: Policy
    guarantee: str
    leaves_early: bool
    empirical_risk: float
    bound: float
    relative_cost: float
    samples: int
    path_samples: int
    risk: str
    method: str
    epsilon: float
    delta: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)


def control(
    table: ExitTable,
    criterion: str | Sequence[str],
    epsilon: float,
    delta: float = DELTA,
    method: str = "ucb",
    risk: str = "accuracy_gap",
) -> Controlled:
    """Return the cheapest policy whose risk is proven to be at most ``epsilon``.

    A quarter of the table, drawn with a fixed seed, constructs the path and selects the criterion;
    the rest tests the policies of the path.

    Args:
        table: the calibration split; no other choice may have been made on its samples.
        criterion: a name in `core.exits.criteria.CRITERIA`, or several to select the best from.
        epsilon: the highest risk allowed, in (0, 1); 0.01 is one percentage point.
        delta: the highest probability of a wrong guarantee allowed, in (0, 1).
        method: a name in `METHODS`.
        risk: a name in `RISKS`.

    Raises:
        UserError: an argument out of range, too few samples (says how many it takes), a missing
            label, or a criterion or risk that the table cannot give.
    """
    needed = samples_needed(epsilon, delta, method, risk)
    in_all = max(PATH_PART, 1 + PATH_PART * (needed - 1) // (PATH_PART - 1))
    _check_samples(table, risk, len(table), in_all)
    construction, test = split(table)
    names = [criterion] if isinstance(criterion, str) else list(criterion)
    names = [name for name in names if not CRITERIA[name].history] or names
    if not names:
        raise UserError("expected the name of a `criterion`, but got none.")
    paths = [agreement_path(construction, name) for name in names]
    path = _cheapest_path(paths, construction, epsilon, delta, method, risk)
    controlled = control_along(path, test, epsilon, delta, method, risk)
    return replace(controlled, path_samples=len(construction))


def control_along(
    path: Path,
    table: ExitTable,
    epsilon: float,
    delta: float = DELTA,
    method: str = "ucb",
    risk: str = "accuracy_gap",
) -> Controlled:
    """Return the cheapest proven policy of a path; other arguments as in `control`.

    The table must hold none of the samples that the path was constructed from.
    """
    _check_samples(table, risk, len(table), samples_needed(epsilon, delta, method, risk))
    # The betting test assumes samples in random order.
    table = table.select(np.random.default_rng(1).permutation(len(table)))
    tested = _Losses.of(path, table, risk)
    index = tested.controlled(epsilon, delta, method)
    chosen, of_risk = METHODS[method], RISKS[risk]
    percent = 100 * epsilon
    points = f"{percent:g} percentage point{'' if percent == 1 else 's'}"
    statement = of_risk.statement.format(level=epsilon, percent=percent, points=points)
    if index == 0:
        guarantee = (
            f"For no policy that leaves early could the guarantee be proven that {statement}; "
            "so every sample runs through the full network, without any risk."
        )
    elif chosen.on_average:
        guarantee = (
            f"On average over new samples like these, and over calibration sets of {len(table)} "
            f"samples like this one, {statement}."
        )
    else:
        guarantee = (
            f"On new samples like these, {statement}; a guarantee obtained in this way from "
            f"{len(table)} calibration samples holds with a probability of at least "
            f"{100 * (1 - delta):g} %."
        )
    return Controlled(
        policy=path.policy(index),
        guarantee=guarantee,
        leaves_early=index > 0,
        empirical_risk=float(tested.losses[:, index].mean()),
        bound=tested.bound(index, delta, method),
        relative_cost=float(tested.costs[:, index].mean()),
        samples=len(table),
        path_samples=0,
        risk=risk,
        method=method,
        epsilon=epsilon,
        delta=None if chosen.on_average else delta,
    )


def samples_needed(
    epsilon: float, delta: float = DELTA, method: str = "ucb", risk: str = "accuracy_gap"
) -> int:
    """Return how many test samples prove a policy whose loss is 0 on all of them.

    Raises:
        UserError: an argument out of range, or more than a million samples.
    """
    for name, value in (("epsilon", epsilon), ("delta", delta)):
        if not 0 < value < 1:
            raise UserError(
                f"expected `{name}` to be a fraction between 0 and 1, but got {value:g}; "
                "1 % is 0.01."
            )
    chosen, of_risk = METHODS[method], RISKS[risk]

    def enough(count: int) -> bool:
        return bool(_certified(np.zeros((count, 1)), epsilon, delta, chosen, of_risk)[0])

    counts = range(1, _MOST_SAMPLES + 1)
    place = bisect_left(counts, True, key=enough)
    if place == len(counts):
        raise UserError(
            "expected an `epsilon` that a million samples can prove, but got "
            f"{epsilon:g} with a `delta` of {delta:g}; allow more."
        )
    return counts[place]


def risk_on(table: ExitTable, policy: Policy, risk: str = "accuracy_gap") -> float:
    """Return the mean loss of ``policy`` on ``table``, for example the test split.

    Raises:
        UserError: no samples, a missing label, or a risk that the table cannot give.
    """
    _check_samples(table, risk, len(table), 1)
    losses = RISKS[risk].losses(policy.apply_temperatures(table))
    exits = route(table, policy).exits
    return float(losses[np.arange(len(table)), exits].mean())


@dataclass(frozen=True, eq=False)
class Simulation:
    """Policies chosen on D simulated calibration sets, with risk control and naively.

    Attributes:
        epsilon: the highest risk allowed.
        samples: number of samples in each set.
        risk: ``(D,)`` true risk of the policies chosen with risk control.
        relative_cost: ``(D,)`` their cost.
        naive_risk: ``(D,)`` true risk of the cheapest policies with a mean loss <= epsilon on
            the set.
        naive_cost: ``(D,)`` their cost.
    """

    epsilon: float
    samples: int
    risk: CostArray
    relative_cost: CostArray
    naive_risk: CostArray
    naive_cost: CostArray

    @property
    def violation_rate(self) -> float:
        """Share of the sets whose policy has a true risk above epsilon despite risk control."""
        return float((self.risk > self.epsilon + ROUNDING).mean())

    @property
    def naive_violation_rate(self) -> float:
        """The same share for naive tuning."""
        return float((self.naive_risk > self.epsilon + ROUNDING).mean())


def simulate(
    path: Path,
    table: ExitTable,
    epsilon: float,
    delta: float = DELTA,
    method: str = "ucb",
    risk: str = "accuracy_gap",
    *,
    samples: int = 500,
    draws: int = 200,
    seed: int = 0,
) -> Simulation:
    """Choose thresholds on many simulated calibration sets; return the true risks and costs.

    The table is the population: its mean loss is the true risk, and calibration sets of
    ``samples`` are drawn from it with replacement.

    Args:
        path: constructed from other samples, as in `control_along`.
        table: the population.
        epsilon: as in `control`.
        delta: as in `control`.
        method: as in `control`.
        risk: as in `control`.
        samples: number of samples per set.
        draws: number of sets, at least 1.
        seed: of the draws.

    Raises:
        UserError: as `control_along`, or no draw.
    """
    if draws < 1:
        raise UserError(f"expected `draws` to be 1 or more, but got {draws}.")
    _check_samples(table, risk, len(table), 1)
    _check_samples(table, risk, samples, samples_needed(epsilon, delta, method, risk))
    population = _Losses.of(path, table, risk)
    random = np.random.default_rng(seed)
    chosen = np.empty((draws, 2), np.int64)
    for draw in range(draws):
        tested = population.select(random.integers(len(table), size=samples))
        chosen[draw] = tested.controlled(epsilon, delta, method), tested.naive(epsilon)[0]
    risks, costs = population.losses.mean(axis=0)[chosen], population.costs.mean(axis=0)[chosen]
    return Simulation(epsilon, samples, risks[:, 0], costs[:, 0], risks[:, 1], costs[:, 1])


@dataclass(frozen=True, eq=False)
class _Losses:
    """Loss and cost ``(N, M)`` of N samples under M policies."""

    risk: Risk
    losses: CostArray
    costs: CostArray

    @classmethod
    def of(cls, path: Path, table: ExitTable, risk: str) -> "_Losses":
        exits = path.exits(table)
        losses = RISKS[risk].losses(table)
        costs = np.stack([table.costs.at_exits(enabled) for enabled in path.enabled])  # (M, E)
        return cls(
            RISKS[risk],
            np.take_along_axis(losses, exits, axis=1),
            costs[np.arange(len(path)), exits],
        )

    def select(self, index: IntArray) -> "_Losses":
        return replace(self, losses=self.losses[index], costs=self.costs[index])

    def controlled(self, epsilon: float, delta: float, method: str) -> int:
        """Return the cheapest of the policies before the first that is not proven."""
        chosen = METHODS[method]
        first_failure = policies = self.losses.shape[1]
        worst = np.zeros((len(self.losses), 1))
        for start in range(1, policies, _BLOCK):  # the first policy has no loss
            losses = self.losses[:, start : start + _BLOCK]
            if chosen.on_average:
                losses = np.maximum(np.maximum.accumulate(losses, axis=1), worst)
                worst = losses[:, -1:]
            failed = ~_certified(losses, epsilon, delta, chosen, self.risk)
            if failed.any():
                first_failure = start + int(failed.argmax())
                break
        return int(self.costs[:, :first_failure].mean(axis=0).argmin())

    def naive(self, epsilon: float) -> tuple[int, float]:
        """Return the cheapest policy with a mean loss of at most epsilon here, and its cost."""
        costs = self.costs.mean(axis=0)
        costs[self.losses.mean(axis=0) > epsilon] = np.inf
        return int(costs.argmin()), float(costs.min())

    def bound(self, index: int, delta: float, method: str) -> float:
        """Return the smallest epsilon that is proven for a policy, by bisection."""
        if index == 0:
            return 0.0
        chosen = METHODS[method]
        losses = self.losses[:, index : index + 1]
        if chosen.on_average:
            losses = self.losses[:, : index + 1].max(axis=1, keepdims=True)
        low, high = (self.risk.lowest if chosen.signed else 0), self.risk.highest
        for _ in range(40):
            middle = (low + high) / 2
            if _certified(losses, middle, delta, chosen, self.risk)[0]:
                high = middle
            else:
                low = middle
        return float(high)


def _cheapest_path(
    paths: Sequence[Path], table: ExitTable, epsilon: float, delta: float, method: str, risk: str
) -> Path:
    """Return the path with the cheapest proven policy; among equals, the cheapest naive one."""

    def costs(path: Path) -> tuple[float, float]:
        tested = _Losses.of(path, table, risk)
        proven = tested.controlled(epsilon, delta, method)
        return float(tested.costs[:, proven].mean()), tested.naive(epsilon)[1]

    return min(paths, key=costs)


def _certified(
    losses: CostArray, epsilon: float, delta: float, method: Method, risk: Risk
) -> BoolArray:
    low = risk.lowest if method.signed else 0
    span = risk.highest - low
    scaled = (np.maximum(losses, low) - low) / span
    return method.certifies(scaled, (epsilon - low) / span, delta, risk.binary)


def _check_samples(table: ExitTable, risk: str, samples: int, needed: int) -> None:
    if samples < needed:
        raise UserError(
            f"expected at least {needed} samples for such a guarantee, but got {samples}; use more "
            "samples, or allow a larger `epsilon` or `delta`."
        )
    if RISKS[risk].needs_labels and not table.labelled.all():
        raise UserError(
            f"expected a `table` with a label for every sample for the risk '{risk}', but got "
            f"{np.count_nonzero(table.labelled)} labels for {len(table)} samples; use "
            "'consistency', which needs none."
        )
