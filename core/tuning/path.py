"""Paths of policies, from careful to bold, that are laid on some samples and tested on others."""

from dataclasses import dataclass, replace

import numpy as np

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import exits_taken
from core.exits.table import BoolArray, CostArray, ExitTable, IntArray
from core.foundation.errors import UserError
from core.tuning.front import Front, front

PATH_PART = 4  # one in so many calibration samples constructs the path
PATH_STEPS = 200


@dataclass(frozen=True, eq=False)
class Path:
    """M policies, from one that never leaves early to one that leaves as early as possible.

    Along the path thresholds only fall and exits are only switched on, so every sample leaves
    earlier and earlier. (Not so where the criterion looks back at earlier exits.)

    Attributes:
        criterion: the name of the score they share.
        thresholds: ``(M, E-1)``.
        enabled: ``(M, E-1)``.
    """

    criterion: str
    thresholds: CostArray
    enabled: BoolArray

    def __len__(self) -> int:
        return len(self.thresholds)

    def policy(self, index: int) -> Policy:
        """Return one of the M policies."""
        return Policy(self.criterion, self.thresholds[index], self.enabled[index])

    def exits(self, table: ExitTable) -> IntArray:
        """Return ``(N, M)`` the exit at which each sample leaves under each policy."""
        scores = self.policy(0).scores(table)
        pairs = zip(self.thresholds, self.enabled, strict=True)
        return np.stack([exits_taken(scores, *pair) for pair in pairs], axis=1)


def split(table: ExitTable) -> tuple[ExitTable, ExitTable]:
    """Return a random quarter of the samples, to construct a path from, and the rest, to test it.

    The same table is always split in the same way.
    """
    construction, test = split_rows(len(table))
    return table.select(construction), table.select(test)


def split_rows(samples: int) -> tuple[IntArray, IntArray]:
    """Return the rows of the two parts of `split`."""
    order = np.random.default_rng(0).permutation(samples)
    construction, test = np.split(order, [samples // PATH_PART])
    return construction, test


def agreement_path(table: ExitTable, criterion: str) -> Path:
    """Return a path along the front of cost and agreement with the full network.

    Agreement rather than accuracy: the front then begins with policies that change no answer, so
    that the path begins without risk of any kind, and no labels are used.

    Raises:
        UserError: as `core.tuning.front.front`, or a criterion that looks back at earlier exits:
            a sample may then leave later although the thresholds fell.
    """
    if CRITERIA[criterion].history:
        raise UserError(
            "expected a `criterion` that reads one exit at a time, so that a guarantee can be "
            f"proven, but got '{criterion}', which looks back at earlier exits; use another one."
        )
    return _smoothed(front(replace(table, labels=table.answers[:, -1]), criterion), table)


def accuracy_path(table: ExitTable, criterion: str) -> Path:
    """Return a path along the front of cost and accuracy; it begins with never leaving early.

    See `along` for a criterion that looks back at earlier exits.
    """
    return along(front(table, criterion), table)


def along(found: Front, table: ExitTable) -> Path:
    """Return a path along a front that was searched on a table, the dearest policy first.

    For a criterion that looks back at earlier exits it is the front itself, since there thresholds
    cannot be compared from one choice of exits to the next.
    """
    if CRITERIA[found.criterion].history:
        return Path(found.criterion, found.thresholds[::-1], found.enabled[::-1])
    return _smoothed(found, table)


def _smoothed(found: Front, table: ExitTable) -> Path:
    """Return a path along a front: thresholds only fall, in about 200 even steps of ranks."""
    scores = found.policy(0).scores(table)
    ascending = np.sort(scores.astype(np.float64), axis=0)  # (N, E-1)
    count, early = ascending.shape
    # A policy as the number of samples that stay at each exit; where all stay, the exit is off.
    stays = np.full((len(found) + 1, early), count)
    for exit_index in range(early):
        thresholds = found.thresholds[::-1, exit_index]
        below = np.searchsorted(ascending[:, exit_index], thresholds, "right")
        on = found.enabled[::-1, exit_index]
        stays[1:, exit_index] = np.where(on, below, count)
    stays = np.minimum.accumulate(stays, axis=0)
    length = np.append(0, np.abs(np.diff(stays, axis=0)).sum(axis=1).cumsum())
    steps = np.linspace(0, length[-1], PATH_STEPS + 1)
    even = np.empty((len(steps), early), np.int64)
    for exit_index in range(early):
        even[:, exit_index] = np.interp(steps, length, stays[:, exit_index]).round()
    even = even[np.append(True, np.diff(even, axis=0).any(axis=1))]
    edges = np.concatenate([np.zeros((1, early)), ascending, np.ones((1, early))])
    halfway = (edges[:-1] + edges[1:]) / 2
    enabled = even < count
    thresholds = np.where(enabled, np.take_along_axis(halfway, even, axis=0), 1.0)
    return Path(found.criterion, thresholds, enabled)
