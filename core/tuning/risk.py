"""Thresholds with a guarantee: how much leaving early may cost, and with what certainty.

One knob turns the thresholds along a *path* of policies, from "never leave" to "leave at once".
A method goes along the path, asks of each policy whether the calibration samples prove that its
risk is at most ε, and stops at the first that does not pass. Two things keep that honest:

- The path is laid on other samples than those that judge it. A quarter of the calibration split
  lays it (and picks the criterion and the temperatures where there is a choice), the rest judges;
  the guarantee holds for *any* path that the judging samples had no part in.
- The order is fixed beforehand and the walk ends at the first failure. A wrong promise needs the
  first bad policy of the path to pass its one test, and that has probability at most δ, however
  long the path and whether or not the risk rises along it. So every policy that was passed is
  proven at once, and the cheapest of them may be taken.

Conformal risk control promises the mean instead, and needs losses that only rise along the path.
A sample may well be answered wrongly at one exit and rightly at the one before, so what is tested
is its largest loss so far, which rises by construction and is never below the loss itself. That
makes the guarantee exact for every number of samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from core.criteria import CRITERIA
from core.errors import UserError
from core.policy import Policy
from core.registry import Registry
from core.routing import decide, route
from core.table import BoolArray, CostArray, ExitTable, IntArray
from core.tuning.front import front
from core.tuning.temperature import fit_temperatures

PATH_PART = 4  # one in so many calibration samples lays the path
PATH_STEPS = 200
DELTA = 0.1

_BLOCK = 16  # policies judged at a time
_MOST_SAMPLES = 1 << 20
_LARGEST_BET = 0.75  # of what one sample can take: a single loss must not end the game
_ROUNDING = 1e-12

Losses = Callable[[ExitTable], CostArray]
Certifies = Callable[[CostArray, float, float, bool], BoolArray]


@dataclass(frozen=True)
class Risk:
    """What leaving early may spoil: a loss per sample and exit, 0 at the last exit.

    Attributes:
        promise: the words for "the risk is at most ε", with ``{level}`` or ``{percent}``.
        lowest: of a loss; below 0 where leaving early may also gain something.
        highest: of a loss.
        binary: whether a loss above 0 is always 1.
        needs_labels: whether the loss depends on the labels.
        losses: gives ``(N, E)`` for a table.
    """

    name: str
    title: str
    description: str
    promise: str
    lowest: float
    highest: float
    binary: bool
    needs_labels: bool
    losses: Losses


@dataclass(frozen=True)
class Method:
    """A way to conclude from samples that a mean is at most ε.

    Attributes:
        on_average: whether it promises the mean over calibration sets, not a probability; it is
            then given the largest loss of each sample so far.
        signed: whether gains count against losses; else they count as 0.
        certifies: ``(losses (n, M) in [0, 1], epsilon, delta, binary)`` → ``(M,)`` whether the
            mean of each column is proven to be at most epsilon.
    """

    name: str
    title: str
    description: str
    on_average: bool
    signed: bool
    certifies: Certifies


RISKS: Registry[Risk] = Registry("risk")
METHODS: Registry[Method] = Registry("risk-control method")


def risk(
    name: str,
    title: str,
    description: str,
    promise: str,
    *,
    lowest: float,
    highest: float,
    binary: bool,
    needs_labels: bool = True,
) -> Callable[[Losses], Losses]:
    """Register the decorated ``table -> losses (N, E)`` as a `Risk`."""

    def add(losses: Losses) -> Losses:
        RISKS.register(name)(
            Risk(name, title, description, promise, lowest, highest, binary, needs_labels, losses)
        )
        return losses

    return add


def method(
    name: str, title: str, description: str, *, on_average: bool, signed: bool
) -> Callable[[Certifies], Certifies]:
    """Register the decorated function as the ``certifies`` of a `Method`."""

    def add(certifies: Certifies) -> Certifies:
        METHODS.register(name)(Method(name, title, description, on_average, signed, certifies))
        return certifies

    return add


@risk(
    "accuracy_gap",
    "Accuracy lost",
    "How much lower the accuracy is than the full network's; rescued samples make up for "
    "ruined ones.",
    "leaving early costs at most {percent:g} percentage points of accuracy, compared with always "
    "running the full network",
    lowest=-1,
    highest=1,
    binary=True,
)
def accuracy_gap(table: ExitTable) -> CostArray:
    """1[early answer wrong] − 1[full network wrong]."""
    full: CostArray = table.right[:, -1:].astype(np.float64)
    return full - table.right


@risk(
    "ruined",
    "Ruined answers",
    "The share of samples answered wrongly that the full network answers rightly; nothing makes "
    "up for them.",
    "leaving early ruins at most {percent:g} % of the answers: the full network is right there "
    "and the early exit is wrong",
    lowest=0,
    highest=1,
    binary=True,
)
def ruined(table: ExitTable) -> CostArray:
    """max(0, accuracy gap)."""
    return np.maximum(accuracy_gap(table), 0)


@risk(
    "consistency",
    "Changed answers",
    "The share of samples that get another answer than the full network's; needs no labels.",
    "at most {percent:g} % of the samples get another answer than the full network's",
    lowest=0,
    highest=1,
    binary=True,
    needs_labels=False,
)
def consistency(table: ExitTable) -> CostArray:
    """1[early answer ≠ the full network's]."""
    changed: BoolArray = table.answers != table.answers[:, -1:]
    return changed.astype(np.float64)


@risk(
    "brier_gap",
    "Brier score lost",
    "How much worse the probabilities are than the full network's, as squared distance to the "
    "truth (0 is perfect, 2 the worst).",
    "leaving early worsens the Brier score by at most {level:g}, compared with the full network",
    lowest=-2,
    highest=2,
    binary=False,
)
def brier_gap(table: ExitTable) -> CostArray:
    """Σ_k (p_k − 1[k = y])², less the same at the last exit."""
    if table.top_classes is not None:
        raise UserError(
            "expected a `table` with all classes for the risk 'brier_gap', but got one that keeps "
            f"the top {table.probabilities.shape[2]} of {table.num_classes}; use another risk."
        )
    probabilities = table.probabilities.astype(np.float64)
    of_label = np.take_along_axis(probabilities, table.labels[:, None, None], axis=2)[:, :, 0]
    score: CostArray = (probabilities**2).sum(axis=2) - 2 * of_label + 1
    return score - score[:, -1:]


@method(
    "ucb",
    "Upper confidence bound",
    "Bets against the policy, sample by sample, and believes in it once the bets have won enough.",
    on_average=False,
    signed=True,
)
def betting_bound(losses: CostArray, epsilon: float, delta: float, binary: bool) -> BoolArray:
    """Whether the capital Π_j (1 − ν_j (L_j − ε)) ever reaches 1/δ.

    ν_j = √(2 ln(1/δ) / (n σ̂²_{j−1})), capped, with σ̂² the variance so far shrunk to that of a coin.
    If the mean is above ε the capital is a supermartingale that starts at 1 and stays above 0, so
    it gets there with probability at most δ (Waudby-Smith & Ramdas, arXiv 2010.09686, used for
    risk control by Bates et al., arXiv 2101.02703, and Jazbec et al., arXiv 2405.20915). Bets may
    be won early on and lost again, so the losses must also be at most ε on average.
    """
    count = len(losses)
    seen = np.arange(1, count + 1)[:, None]
    mean = (0.5 + losses.cumsum(axis=0)) / (seen + 1)
    variance = (0.25 + ((losses - mean) ** 2).cumsum(axis=0)) / (seen + 1)
    before = np.concatenate([np.full_like(variance[:1], 0.25), variance[:-1]])
    bets = np.sqrt(2 * np.log(1 / delta) / (count * before))
    bets = np.minimum(bets, _LARGEST_BET / (1 - epsilon))
    capital = np.log1p(-bets * (losses - epsilon)).cumsum(axis=0)
    won = capital.max(axis=0) >= np.log(1 / delta)
    fine: BoolArray = won & (losses.mean(axis=0) <= epsilon)
    return fine


@method(
    "ltt",
    "Learn then test",
    "Asks how likely so few losses would be if the policy were too risky, and believes in it if "
    "they would be too unlikely.",
    on_average=False,
    signed=False,
)
def tail_test(losses: CostArray, epsilon: float, delta: float, binary: bool) -> BoolArray:
    """Whether the p-value of "the mean is above ε" is at most δ.

    For losses of 0 and 1 the binomial tail P(Bin(n, ε) ≤ Σ L), which is exact; for others the
    smaller of Hoeffding's exp(−n KL(min(L̄, ε), ε)) and Bentkus' e·P(Bin(n, ε) ≤ ⌈Σ L⌉)
    (Angelopoulos et al., arXiv 2110.01052).
    """
    count = len(losses)
    total = losses.sum(axis=0)
    successes = np.ceil(total - 1e-9).astype(np.int64)
    log_tail = _log_binomial_tail(count, epsilon)[successes]
    if binary:
        log_p = log_tail
    else:
        mean = np.minimum(total / count, epsilon)
        with np.errstate(divide="ignore", invalid="ignore"):
            hits = np.where(mean > 0, mean * np.log(mean / epsilon), 0)
        misses = (1 - mean) * np.log((1 - mean) / (1 - epsilon))
        log_p = np.minimum(-count * (hits + misses), 1 + log_tail)
    small: BoolArray = log_p <= np.log(delta)
    return small


@method(
    "crc",
    "Conformal risk control",
    "Keeps the risk on average over calibration sets: a weaker promise that allows more.",
    on_average=True,
    signed=False,
)
def conformal(losses: CostArray, epsilon: float, delta: float, binary: bool) -> BoolArray:
    """Whether (Σ L + 1)/(n + 1) ≤ ε: one more sample, of the worst loss, would be affordable.

    Angelopoulos et al., arXiv 2208.02814. δ plays no part.
    """
    fine: BoolArray = (losses.sum(axis=0) + 1) / (len(losses) + 1) <= epsilon + _ROUNDING
    return fine


@dataclass(frozen=True, eq=False)
class Path:
    """M policies from careful to bold; the first never leaves early.

    Along the path thresholds only fall and exits are only switched on, so every sample leaves
    earlier and earlier.

    Attributes:
        criterion: the name of the score they share.
        thresholds: ``(M, E-1)``.
        enabled: ``(M, E-1)``.
        temperatures: E of them where the scores are heated.
    """

    criterion: str
    thresholds: CostArray
    enabled: BoolArray
    temperatures: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.thresholds)

    def policy(self, index: int) -> Policy:
        """Return one of the M policies."""
        return Policy(
            self.criterion, self.thresholds[index], self.enabled[index], self.temperatures
        )

    def exits(self, table: ExitTable) -> IntArray:
        """Return ``(N, M)`` where each sample of ``table`` leaves under each policy."""
        scores = CRITERIA[self.criterion].scores(self.policy(0).heated(table))
        pairs = zip(self.thresholds, self.enabled, strict=True)
        return np.stack([route(scores, *pair) for pair in pairs], axis=1)


@dataclass(frozen=True)
class Controlled:
    """A policy and what is promised about it.

    Attributes:
        policy: the cheapest one that is proven.
        guarantee: the promise, in a sentence.
        leaves_early: False where nothing but the full network could be proven.
        empirical_risk: mean loss on the judging samples; gains count here whatever the method.
        bound: the smallest ε that the method would promise for this policy; <= epsilon.
        relative_cost: on the judging samples, in units of the plain network.
        samples: how many judged.
        path_samples: how many others laid the path; 0 where it was given.
        risk: its name in `RISKS`.
        method: its name in `METHODS`.
        epsilon: what the risk may be.
        delta: the probability of a wrong promise; None where the promise is one on average.
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
    *,
    heat: bool = False,
) -> Controlled:
    """Return the cheapest policy whose risk is proven to be at most ``epsilon``.

    A quarter of the table, drawn at random but always the same way, lays the path, picks the
    criterion and fits the temperatures; the rest judges.

    Args:
        table: the calibration split, none of whose samples helped to choose anything before.
        criterion: a name in `core.criteria.CRITERIA`, or several to pick the most promising from.
        epsilon: the risk to allow, in (0, 1); 0.01 is one percentage point.
        delta: the probability of a wrong promise to allow, in (0, 1).
        method: a name in `METHODS`.
        risk: a name in `RISKS`.
        heat: whether to fit temperatures; they need a table with all classes.

    Raises:
        UserError: an argument out of range, too few samples (says how many it takes), a missing
            label, or a criterion or risk that the table cannot give.
    """
    needed = samples_needed(epsilon, delta, method, risk)
    _refuse_fewer(len(table), max(PATH_PART, 1 + PATH_PART * (needed - 1) // (PATH_PART - 1)))
    _refuse_unlabelled(table, risk)
    part, judging = split(table)
    names = [criterion] if isinstance(criterion, str) else list(criterion)
    if not names:
        raise UserError("expected the name of a `criterion`, but got none.")
    temperatures = fit_temperatures(part) if heat else None
    paths = [careful_to_bold(part, name, temperatures) for name in names]
    path = _most_promising(paths, part, epsilon, delta, method, risk)
    found = control_along(path, judging, epsilon, delta, method, risk)
    return replace(found, path_samples=len(part))


def split(table: ExitTable) -> tuple[ExitTable, ExitTable]:
    """Return a random quarter of the samples, to lay a path on, and the rest, to judge with.

    The same table is always split in the same way.
    """
    order = np.random.default_rng(0).permutation(len(table))
    laying, judging = np.split(order, [len(table) // PATH_PART])
    return table.select(laying), table.select(judging)


def control_along(
    path: Path,
    table: ExitTable,
    epsilon: float,
    delta: float = DELTA,
    method: str = "ucb",
    risk: str = "accuracy_gap",
) -> Controlled:
    """Return the cheapest proven policy of a path; the rest as in `control`.

    The table must hold none of the samples that the path, or its temperatures, were chosen on.
    """
    needed = samples_needed(epsilon, delta, method, risk)
    _refuse_fewer(len(table), needed)
    _refuse_unlabelled(table, risk)
    table = table.select(np.random.default_rng(1).permutation(len(table)))  # bets need no order
    judged = _Judged.of(path, table, risk)
    index = judged.controlled(epsilon, delta, method)
    chosen, meant = METHODS[method], RISKS[risk]
    promise = meant.promise.format(level=epsilon, percent=100 * epsilon)
    if index == 0:
        guarantee = (
            f"No policy that leaves early could be proven to keep the promise that {promise}; "
            "so every sample runs through the full network, and nothing is risked."
        )
    elif chosen.on_average:
        guarantee = (
            f"On average over new samples like these, and over calibration sets of {len(table)} "
            f"samples like this one, {promise}."
        )
    else:
        guarantee = (
            f"On new samples like these, {promise}; a promise made in this way from "
            f"{len(table)} calibration samples is kept with a probability of at least "
            f"{100 * (1 - delta):g} %."
        )
    return Controlled(
        policy=path.policy(index),
        guarantee=guarantee,
        leaves_early=index > 0,
        empirical_risk=float(judged.losses[:, index].mean()),
        bound=judged.bound(index, delta, method),
        relative_cost=float(judged.costs[:, index].mean()),
        samples=len(table),
        path_samples=0,
        risk=risk,
        method=method,
        epsilon=epsilon,
        delta=None if chosen.on_average else delta,
    )


def careful_to_bold(
    table: ExitTable, criterion: str, temperatures: Sequence[float] | None = None
) -> Path:
    """Return a path along the front of agreement with the full network and cost.

    Agreement rather than accuracy: the front then begins with the policies that change no answer,
    so that whatever the risk the path begins carefully, and no labels are used. The front is made
    to run one way (a threshold that fell stays low) and cut into about 200 even steps of the
    samples' ranks.

    Raises:
        UserError: as `core.tuning.front.front`.
    """
    agreement = replace(table, labels=table.answers[:, -1])
    found = front(agreement, criterion, temperatures)
    scores = CRITERIA[found.criterion].scores(found.policy(0).heated(table))
    ascending = np.sort(scores.astype(np.float64), axis=0)  # (N, E-1)
    count, early = ascending.shape
    # A policy as the number of samples that stay at each exit; all of them is off.
    stays = np.full((len(found) + 1, early), count)
    for exit_index in range(early):
        levels = np.searchsorted(
            ascending[:, exit_index], found.thresholds[::-1, exit_index], "right"
        )
        on = found.enabled[::-1, exit_index]
        stays[1:, exit_index] = np.where(on, levels, count)
    stays = np.minimum.accumulate(stays, axis=0)
    way = np.append(0, np.abs(np.diff(stays, axis=0)).sum(axis=1).cumsum())
    steps = np.linspace(0, way[-1], PATH_STEPS + 1)
    even = np.empty((len(steps), early), np.int64)
    for exit_index in range(early):
        even[:, exit_index] = np.interp(steps, way, stays[:, exit_index]).round()
    even = even[np.append(True, np.diff(even, axis=0).any(axis=1))]
    edges = np.concatenate([np.zeros((1, early)), ascending, np.ones((1, early))])
    halfway = (edges[:-1] + edges[1:]) / 2
    enabled = even < count
    thresholds = np.where(enabled, np.take_along_axis(halfway, even, axis=0), 1.0)
    return Path(found.criterion, thresholds, enabled, found.temperatures)


def samples_needed(
    epsilon: float, delta: float = DELTA, method: str = "ucb", risk: str = "accuracy_gap"
) -> int:
    """Return how many judging samples it takes to prove a policy that never loses anything.

    Raises:
        UserError: an argument out of range, or more than a million.
    """
    for name, value in (("epsilon", epsilon), ("delta", delta)):
        if not 0 < value < 1:
            raise UserError(
                f"expected `{name}` to be a fraction between 0 and 1, but got {value:g}; "
                "1 % is 0.01."
            )
    chosen, meant = METHODS[method], RISKS[risk]

    def enough(count: int) -> bool:
        return bool(_certified(np.zeros((count, 1)), epsilon, delta, chosen, meant)[0])

    high = 1
    while not enough(high):
        high *= 2
        if high > _MOST_SAMPLES:
            raise UserError(
                "expected an `epsilon` that a million samples can prove, but got "
                f"{epsilon:g} with a `delta` of {delta:g}; allow more."
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def risk_on(table: ExitTable, policy: Policy, risk: str = "accuracy_gap") -> float:
    """Return the mean loss of ``policy`` on ``table``, for example the test split.

    Raises:
        UserError: no samples, a missing label, or a risk that the table cannot give.
    """
    _refuse_fewer(len(table), 1)
    _refuse_unlabelled(table, risk)
    losses = RISKS[risk].losses(policy.heated(table))
    exits = decide(table, policy).exits
    return float(losses[np.arange(len(table)), exits].mean())


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """True risk and cost ``(D,)`` of what D calibration sets led to, with control and without.

    Attributes:
        epsilon: what the risk may be.
        samples: in each set.
        risk: of the controlled policies.
        relative_cost: of the controlled policies.
        naive_risk: of the cheapest policies with a mean loss <= epsilon on the set.
        naive_cost: of the same.
    """

    epsilon: float
    samples: int
    risk: CostArray
    relative_cost: CostArray
    naive_risk: CostArray
    naive_cost: CostArray

    @property
    def broken(self) -> float:
        """The share of the sets whose controlled policy has a risk above epsilon."""
        return float((self.risk > self.epsilon + _ROUNDING).mean())

    @property
    def naive_broken(self) -> float:
        """The same for naive tuning."""
        return float((self.naive_risk > self.epsilon + _ROUNDING).mean())


def rehearse(
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
) -> Rehearsal:
    """Return what happens when the promise is made again and again on fresh samples.

    The table plays the world: its mean loss is the true risk, and calibration sets of ``samples``
    are drawn from it with replacement.

    Args:
        path: laid on other samples, as in `control_along`.
        table: the world.
        epsilon: as in `control`.
        delta: as in `control`.
        method: as in `control`.
        risk: as in `control`.
        samples: per set.
        draws: how many sets, at least 1.
        seed: of the draws.

    Raises:
        UserError: as `control_along`, or no draw.
    """
    if draws < 1:
        raise UserError(f"expected `draws` to be 1 or more, but got {draws}.")
    _refuse_fewer(samples, samples_needed(epsilon, delta, method, risk))
    _refuse_fewer(len(table), 1)
    _refuse_unlabelled(table, risk)
    world = _Judged.of(path, table, risk)
    random = np.random.default_rng(seed)
    chosen = np.empty((draws, 2), np.int64)
    for draw in range(draws):
        judged = world.select(random.integers(len(table), size=samples))
        chosen[draw] = judged.controlled(epsilon, delta, method), judged.naive(epsilon)[0]
    risks, costs = world.losses.mean(axis=0)[chosen], world.costs.mean(axis=0)[chosen]
    return Rehearsal(epsilon, samples, risks[:, 0], costs[:, 0], risks[:, 1], costs[:, 1])


@dataclass(frozen=True, eq=False)
class _Judged:
    """Loss and cost ``(N, M)`` of N samples under M policies."""

    risk: Risk
    losses: CostArray
    costs: CostArray

    @classmethod
    def of(cls, path: Path, table: ExitTable, risk: str) -> "_Judged":
        exits = path.exits(table)
        losses = RISKS[risk].losses(path.policy(0).heated(table))
        costs = np.stack([table.relative_costs(enabled) for enabled in path.enabled])  # (M, E)
        return cls(
            RISKS[risk],
            np.take_along_axis(losses, exits, axis=1),
            costs[np.arange(len(path)), exits],
        )

    def select(self, index: IntArray) -> "_Judged":
        return replace(self, losses=self.losses[index], costs=self.costs[index])

    def controlled(self, epsilon: float, delta: float, method: str) -> int:
        """The cheapest of the policies before the first one that is not proven."""
        chosen = METHODS[method]
        first_failure = policies = self.losses.shape[1]
        worst = np.zeros((len(self.losses), 1))
        for start in range(1, policies, _BLOCK):  # the first policy risks nothing
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
        """The cheapest policy with a mean loss of at most epsilon on these samples, its cost."""
        costs = self.costs.mean(axis=0)
        costs[self.losses.mean(axis=0) > epsilon] = np.inf
        return int(costs.argmin()), float(costs.min())

    def bound(self, index: int, delta: float, method: str) -> float:
        """The smallest epsilon that is proven for a policy, by bisection."""
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


def _most_promising(
    paths: Sequence[Path], table: ExitTable, epsilon: float, delta: float, method: str, risk: str
) -> Path:
    """The path that leads to the cheapest proven policy, or failing that to the cheapest at all."""

    def costs(path: Path) -> tuple[float, float]:
        judged = _Judged.of(path, table, risk)
        proven = judged.controlled(epsilon, delta, method)
        return float(judged.costs[:, proven].mean()), judged.naive(epsilon)[1]

    return min(paths, key=costs)


def _certified(
    losses: CostArray, epsilon: float, delta: float, method: Method, risk: Risk
) -> BoolArray:
    low = risk.lowest if method.signed else 0
    span = risk.highest - low
    scaled = (np.maximum(losses, low) - low) / span
    return method.certifies(scaled, (epsilon - low) / span, delta, risk.binary)


def _log_binomial_tail(count: int, chance: float) -> CostArray:
    """Return ln P(Bin(count, chance) ≤ k) for k = 0…count."""
    k = np.arange(1, count + 1)
    choose = np.append(0, (np.log(count + 1 - k) - np.log(k)).cumsum())
    k = np.append(0, k)
    log_mass = choose + k * np.log(chance) + (count - k) * np.log1p(-chance)
    tail: CostArray = np.minimum(np.logaddexp.accumulate(log_mass), 0)
    return tail


def _refuse_fewer(samples: int, needed: int) -> None:
    if samples < needed:
        raise UserError(
            f"expected at least {needed} samples for such a promise, but got {samples}; use more "
            "samples, or allow a larger `epsilon` or `delta`."
        )


def _refuse_unlabelled(table: ExitTable, risk: str) -> None:
    if RISKS[risk].needs_labels and not table.labelled.all():
        raise UserError(
            f"expected a `table` with a label for every sample for the risk '{risk}', but got "
            f"{np.count_nonzero(table.labelled)} labels for {len(table)} samples; use "
            "'consistency', which needs none."
        )
