"""Selective risk: of those that leave at an exit, at most so many are answered wrongly.

The error rate among the samples that leave at an exit is a ratio of two means, of 1[leaves and is
wrong] and of 1[leaves]. It is at most ε where the mean of 1[leaves] (1[wrong] − ε) is at most 0;
given which samples leave, this is a test of the wrong answers among them alone, with the same tests
as for other risks (`core.tuning.risk`).

The guarantee is for all early exits jointly. It needs no correction for their number: a policy is
accepted only if every exit passes its test, and if one exit's error is above ε, that exit alone
passes with a probability of at most δ. Along the path the tests end at the first policy that fails,
as in `core.tuning.guarantee`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import Routing, mean, route
from core.exits.table import BoolArray, ExitTable, FloatArray
from core.foundation.errors import UserError
from core.tuning.guarantee import DELTA, samples_needed
from core.tuning.path import split
from core.tuning.risk import METHODS

SELECTIVE, SELECTIVE_TITLE = "selective", "Error among those that leave"
"""Name of this risk beside those of `core.tuning.risk.RISKS`."""
LEVELS = 60
"""Error rates that the path aims at, from just above 0 to twice ε."""
_RESERVE = 1.5  # leave at least so many times the samples that a proof without an error takes


@dataclass(frozen=True)
class Selective:
    """A policy and the guarantee of its error rate at every early exit.

    Attributes:
        policy: the cheapest policy that is proven.
        guarantee: a sentence for the user.
        leaves_early: False where only the full network could be proven.
        left: ``(E-1,)`` number of test samples that leave at each early exit.
        error: ``(E-1,)`` share of them that is wrong; None where none leaves.
        relative_cost: on the test samples, in units of the plain network.
        samples: number of test samples.
        path_samples: number of samples that the path was constructed from.
        method: its name in `METHODS`.
        epsilon: the highest error rate allowed.
        delta: the probability of a wrong guarantee.
    """

    policy: Policy
    guarantee: str
    leaves_early: bool
    left: tuple[int, ...]
    error: tuple[float | None, ...]
    relative_cost: float
    samples: int
    path_samples: int
    method: str
    epsilon: float
    delta: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)


def control_selective(
    table: ExitTable,
    criterion: str,
    epsilon: float,
    delta: float = DELTA,
    method: str = "ltt",
) -> Selective:
    """Return the cheapest policy whose error rate is proven to be at most ε at every early exit.

    A quarter of the table, drawn with a fixed seed, constructs the path; the rest tests it.

    Args:
        table: the calibration split; no other choice may have been made on its samples.
        criterion: a name in `core.exits.criteria.CRITERIA`.
        epsilon: the highest error rate allowed among those that leave at an exit, in (0, 1).
        delta: the highest probability of a wrong guarantee allowed, in (0, 1).
        method: a name in `METHODS`, "ltt" or "ucb".

    Raises:
        UserError: an argument out of range, a missing label, a guarantee on average ("crc"), or a
            criterion that looks back at earlier exits or that the table cannot give.
    """
    if METHODS[method].on_average:
        raise UserError(
            "expected a `method` that holds with a probability for a selective risk, but got "
            f"'{method}', whose guarantee is one on average; use 'ltt' or 'ucb'."
        )
    if CRITERIA[criterion].history:
        raise UserError(
            "expected a `criterion` that reads one exit at a time, so that a guarantee can be "
            f"proven, but got '{criterion}', which looks back at earlier exits; use another one."
        )
    if not table.labelled.all():
        raise UserError(
            "expected a `table` with a label for every sample for a selective risk, but got "
            f"{np.count_nonzero(table.labelled)} labels for {len(table)} samples."
        )
    needed = samples_needed(epsilon, delta, method, "ruined")
    construction, test = split(table)
    # The betting test assumes samples in random order.
    test = test.select(np.random.default_rng(1).permutation(len(test)))
    fewest = _RESERVE * needed * len(construction) / max(len(test), 1)
    chosen = route(test, Policy.never(criterion, table.num_exits))
    cheapest = mean(chosen.costs)
    for policy in level_path(construction, criterion, epsilon, fewest):
        tried = route(test, policy)
        if not _proven(tried, epsilon, delta, method):
            break
        if mean(tried.costs) < cheapest:
            chosen, cheapest = tried, mean(tried.costs)
    leaves_early = any(chosen.policy.enabled)
    left = [chosen.exits == exit_index for exit_index in range(table.num_exits - 1)]
    return Selective(
        policy=chosen.policy,
        guarantee=_sentence(epsilon, delta, len(test), leaves_early),
        leaves_early=leaves_early,
        left=tuple(int(np.count_nonzero(one)) for one in left),
        error=selective_error(chosen),
        relative_cost=cheapest,
        samples=len(test),
        path_samples=len(construction),
        method=method,
        epsilon=epsilon,
        delta=delta,
    )


def selective_error(routing: Routing) -> tuple[float | None, ...]:
    """Return for each early exit the share of wrong answers among those that leave there."""
    left = [routing.exits == index for index in range(routing.table.num_exits - 1)]
    return tuple(mean(~routing.right[one]) if one.any() else None for one in left)


def level_path(table: ExitTable, criterion: str, epsilon: float, fewest: float) -> list[Policy]:
    """Return policies whose early exits all have nearly the same error rate, from low to high.

    Exit by exit, of the samples that reach it as many leave, the highest scores first, as keep
    (wrong + 1) / (left + 1) at the level; where they are too few for a proof the exit is off. Only
    exits are ever on that are on at a level of ε/2: others could hardly be proven at any.

    Args:
        table: that constructs the path.
        criterion: a name in `core.exits.criteria.CRITERIA`.
        epsilon: the last level is twice this.
        fewest: number of samples that have to leave at an exit that is on.
    """
    scores, wrong = CRITERIA[criterion].scores(table), ~table.right

    def at_level(level: float, usable: Sequence[bool]) -> Policy:
        return _at_level(scores, wrong, criterion, level, fewest, usable)

    usable = at_level(epsilon / 2, (True,) * scores.shape[1]).enabled
    levels = np.linspace(0, 2 * epsilon, LEVELS + 1)[1:]
    return list(dict.fromkeys(at_level(level, usable) for level in levels))


def _at_level(
    scores: FloatArray,
    wrong: BoolArray,
    criterion: str,
    level: float,
    fewest: float,
    usable: Sequence[bool],
) -> Policy:
    early = scores.shape[1]
    thresholds, enabled = np.ones(early), np.zeros(early, np.bool_)
    inside = np.arange(len(scores))
    for exit_index in np.flatnonzero(usable):
        here = scores[inside, exit_index].astype(np.float64)
        order = np.argsort(-here, kind="stable")
        so_far = np.arange(1, len(order) + 1)
        rate = (wrong[inside[order], exit_index].cumsum() + 1) / (so_far + 1)
        falling = np.append(here[order][1:], 0.0)
        # A threshold lies between two different scores.
        possible = (rate <= level) & (so_far >= fewest) & (falling < here[order])
        if possible.any():
            last = int(np.flatnonzero(possible)[-1])
            thresholds[exit_index] = (here[order][last] + falling[last]) / 2
            enabled[exit_index] = True
            inside = inside[here <= thresholds[exit_index]]
    return Policy(criterion, thresholds, enabled)


def _proven(routing: Routing, epsilon: float, delta: float, method: str) -> bool:
    for exit_index in np.flatnonzero(routing.policy.enabled):
        wrong = ~routing.right[routing.exits == exit_index]
        if not len(wrong):
            return False
        losses = wrong.astype(np.float64)[:, None]
        if not METHODS[method].certifies(losses, epsilon, delta, True)[0]:
            return False
    return True


def _sentence(epsilon: float, delta: float, samples: int, leaves_early: bool) -> str:
    percent = f"{100 * epsilon:g} %"
    if not leaves_early:
        return (
            f"For no policy that leaves early could it be proven that at most {percent} of those "
            "that leave at an exit are answered wrongly; so every sample runs through the full "
            "network."
        )
    return (
        f"On new samples like these, of those that leave at any one early exit at most {percent} "
        f"are answered wrongly; a guarantee obtained in this way from {samples} calibration "
        f"samples holds, for all early exits at once, with a probability of at least "
        f"{100 * (1 - delta):g} %."
    )
