"""Targets that hold: the cheapest policy that is proven to lose at most so much accuracy.

The rule, for a largest drop D and a confidence γ:

1. A quarter of the calibration samples, drawn with a fixed seed, lays a path of policies from
   careful to bold (`core.tuning.path`), for one criterion that was fixed beforehand. Of a path
   along agreement and one along accuracy it takes the one that gets further.
2. The rest certifies. A sample's loss is 1[reference right] − 1[policy right], with the plain
   network's answers to the same images as reference, so that what both find hard cancels out. The
   policies are tested in the order of the path, each by an exact test of these pairs
   (`core.tuning.drop_test`), up to the first that fails.
3. The cheapest policy before the first failure is taken.

A policy that loses more than D is taken with a probability of at most 1 − γ: for that, the first
such policy on the path has to pass its test. This holds for calibration samples that had no part in
training or selecting the network.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.table import BoolArray, CostArray, ExitTable, FloatArray, IntArray
from core.foundation.errors import UserError
from core.tuning.drop_test import DropTest, drop_bound
from core.tuning.front import outcomes
from core.tuning.path import PATH_PART, accuracy_path, agreement_path, split_rows
from core.tuning.risk import ROUNDING

CONFIDENCE = 0.9


@dataclass(frozen=True)
class Promise:
    """A policy, and what is promised of it.

    Attributes:
        policy: the cheapest policy that is proven.
        guarantee: a sentence for the user.
        max_drop: the largest accuracy loss allowed; 0.01 is one percentage point.
        confidence: γ.
        against_plain: whether the drop counts from the plain network; else from the last exit.
        leaves_early: False where only the full network could be proven.
        drop: mean loss on the certifying samples.
        bound: the smallest drop that they prove for this policy; <= max_drop.
        relative_cost: on them, in units of the plain network.
        samples: number of certifying samples.
        path_samples: number of samples that the path was laid on.
    """

    policy: Policy
    guarantee: str
    max_drop: float
    confidence: float
    against_plain: bool
    leaves_early: bool
    drop: float
    bound: float
    relative_cost: float
    samples: int
    path_samples: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)


def promise(
    table: ExitTable,
    criterion: str,
    max_drop: float,
    confidence: float = CONFIDENCE,
    plain: ExitTable | None = None,
) -> Promise:
    """Return the cheapest policy whose accuracy is proven to be at most ``max_drop`` lower.

    Args:
        table: the calibration split; no other choice may have been made on its samples.
        criterion: a name in `core.exits.criteria.CRITERIA`, fixed beforehand.
        max_drop: the largest accuracy loss allowed, in [0, 1]; 0.01 is one percentage point.
        confidence: γ, in (0, 1).
        plain: the plain network's table of the same images, see `reference_right`; None: losses
            count from the last exit.

    Raises:
        UserError: an argument out of range, a missing label, a criterion that the table cannot
            give, or a target that cannot be proven (says what could be).
    """
    check_target(max_drop, confidence)
    reference = None if plain is None else reference_right(table, plain)
    return promised(lay(table, criterion, reference), max_drop, confidence)


def promised(walks: Sequence["Walk"], max_drop: float, confidence: float = CONFIDENCE) -> Promise:
    """Return the cheapest policy of `lay` that is proven, see `promise`.

    Each promise holds with its own confidence; of several on the same walks, not all together.
    """
    check_target(max_drop, confidence)
    walk = farthest(walks, max_drop)
    found = walk.proven(DropTest.of(walk.samples, max_drop, confidence))
    if found is None:
        least = _rounded_up(walk.bound(0, confidence))
        raise UserError(
            f"expected a policy that is proven to lose at most {points(max_drop)} of accuracy "
            f"against the plain network, but of the most careful one {walk.samples:,} calibration "
            f"images prove {points(least)} at best; allow a `max_drop` of {least:g} or more, use "
            f"more images, or ask for less `confidence` than {confidence:g}."
        )
    policy = walk.policies[found]
    against_plain = not walk.begins_with_reference
    return Promise(
        policy=policy,
        guarantee=_sentence(max_drop, confidence, walk.samples, against_plain),
        max_drop=max_drop,
        confidence=confidence,
        against_plain=against_plain,
        leaves_early=any(policy.enabled),
        drop=float(walk.losses[found] - walk.gains[found]) / walk.samples,
        bound=walk.bound(found, confidence),
        relative_cost=float(walk.cost[found]),
        samples=walk.samples,
        path_samples=walk.path_samples,
    )


def check_target(max_drop: float, confidence: float) -> None:
    """Raise `UserError` unless both lie in their range."""
    if not 0 <= max_drop <= 1:
        raise UserError(
            f"expected `max_drop` to be a fraction in [0, 1], but got {max_drop:g}; one percentage "
            "point is 0.01."
        )
    if not 0 < confidence < 1:
        raise UserError(
            f"expected `confidence` to be a fraction between 0 and 1, but got {confidence:g}; 90 % "
            "is 0.9."
        )


def reference_right(table: ExitTable, plain: ExitTable) -> BoolArray:
    """Return ``(N,)`` whether the plain network is right on each sample of ``table``.

    Args:
        table: of the network with exits.
        plain: of the plain network, with the same images by their ids, in any order.

    Raises:
        UserError: an image that ``plain`` lacks, or that has another label there.
    """
    rows, same = _rows(plain, table)
    if not same.all():
        raise UserError(
            "expected `plain` to be a table of the same images, but "
            f"{np.count_nonzero(~same):,} of {len(table):,} ids are missing there or have another "
            "label; make both tables from the same data set."
        )
    right: BoolArray = plain.right[rows, -1]
    return right


def has_same_images(plain: ExitTable, table: ExitTable) -> bool:
    """Return whether ``plain`` has the images of ``table``, by id and label."""
    return bool(_rows(plain, table)[1].all())


def _rows(plain: ExitTable, table: ExitTable) -> tuple[IntArray, BoolArray]:
    """Return for each sample of ``table`` its row in ``plain``, and whether it is there."""
    order = np.argsort(plain.ids, kind="stable")
    place = np.searchsorted(plain.ids, table.ids, sorter=order)
    rows: IntArray = order[np.minimum(place, len(order) - 1)]
    return rows, (plain.ids[rows] == table.ids) & (plain.labels[rows] == table.labels)


@dataclass(frozen=True, eq=False)
class Walk:
    """M policies from careful to bold, and what they do on the calibration samples.

    Attributes:
        policies: M of one criterion.
        loss: ``(n, M)`` for each certifying sample 1 where only the reference is right, −1 where
            only the policy is, else 0.
        cost: ``(M,)`` mean relative cost of the certifying samples.
        path_drop: ``(M,)`` mean loss on the samples that laid the path.
        path_cost: ``(M,)`` mean relative cost of these.
        path_samples: their number.
        begins_with_reference: whether the first policy is the reference, which needs no test.
    """

    policies: tuple[Policy, ...]
    loss: NDArray[np.int8]
    cost: CostArray
    path_drop: CostArray
    path_cost: CostArray
    path_samples: int
    begins_with_reference: bool

    @property
    def samples(self) -> int:
        """Number n of certifying samples."""
        return len(self.loss)

    @cached_property
    def losses(self) -> IntArray:
        """``(M,)`` number of certifying samples on which only the reference is right."""
        losses: IntArray = np.count_nonzero(self._lost, axis=0)
        return losses

    @cached_property
    def gains(self) -> IntArray:
        """``(M,)`` number of certifying samples on which only the policy is right."""
        gains: IntArray = np.count_nonzero(self._gained, axis=0)
        return gains

    def proven(self, test: DropTest, times: IntArray | None = None) -> int | None:
        """Return the cheapest of the policies before the first that fails; None without any.

        Args:
            test: of as many pairs as there are samples.
            times: ``(n,)`` how often each sample was drawn; None: once.
        """
        losses, gains = self.losses, self.gains
        if times is not None:  # exact in single precision, and many times as fast as in integers
            weights = times.astype(np.float32)
            losses, gains = ((weights @ one).astype(np.int64) for one in (self._lost, self._gained))
        return self._cheapest(test.proves(losses, gains), self.cost)

    @cached_property
    def _lost(self) -> FloatArray:
        lost: FloatArray = (self.loss == 1).astype(np.float32)
        return lost

    @cached_property
    def _gained(self) -> FloatArray:
        gained: FloatArray = (self.loss == -1).astype(np.float32)
        return gained

    def bound(self, index: int, confidence: float) -> float:
        """Return the smallest drop that is proven for a policy."""
        if index == 0 and self.begins_with_reference:
            return 0.0
        losses, gains = int(self.losses[index]), int(self.gains[index])
        return drop_bound(losses, gains, self.samples, confidence)

    def path_cost_within(self, max_drop: float) -> float:
        """Return what the cheapest policy within a drop costs, judged by the path's own samples."""
        index = self._cheapest(self.path_drop <= max_drop + ROUNDING, self.path_cost)
        return np.inf if index is None else float(self.path_cost[index])

    def _cheapest(self, passed: BoolArray, cost: CostArray) -> int | None:
        passed = passed.copy()
        passed[0] |= self.begins_with_reference
        first_failure = len(passed) if passed.all() else int(passed.argmin())
        return int(cost[:first_failure].argmin()) if first_failure else None


def lay(table: ExitTable, criterion: str, reference: BoolArray | None = None) -> list[Walk]:
    """Lay paths on a quarter of the table; count what their policies do on the rest.

    Args:
        table: as in `promise`.
        criterion: as in `promise`.
        reference: ``(N,)`` as `reference_right` gives it; None: the last exit's answers.

    Raises:
        UserError: fewer samples than parts, or as `promise`.
    """
    if len(table) < PATH_PART or not table.labelled.all():
        raise UserError(
            f"expected a `table` with at least {PATH_PART} samples and a label for each, but got "
            f"{np.count_nonzero(table.labelled)} labels for {len(table)} samples."
        )
    construction, certification = split_rows(len(table))
    part = table.select(construction)
    paths = [accuracy_path(part, criterion)]
    if not CRITERIA[criterion].history:
        paths.insert(0, agreement_path(part, criterion))
    right = table.right[:, -1] if reference is None else reference
    never = Policy.never(criterion, table.num_exits)
    walks = []
    for path in paths:
        policies = [never, *(path.policy(index) for index in range(len(path)))]
        answers, costs = map(np.column_stack, zip(*outcomes(table, policies), strict=True))
        loss = right[:, None].astype(np.int8) - answers  # (N, M)
        kept = np.arange(_start(loss[construction]), len(policies))
        if reference is None:
            kept = np.append(0, kept[kept > 0])
        of_path, of_rest = (rows[:, None] for rows in (construction, certification))
        walks.append(
            Walk(
                policies=tuple(policies[index] for index in kept),
                loss=loss[of_rest, kept],
                cost=costs[of_rest, kept].mean(axis=0),
                path_drop=loss[of_path, kept].mean(axis=0),
                path_cost=costs[of_path, kept].mean(axis=0),
                path_samples=len(construction),
                begins_with_reference=reference is None,
            )
        )
    return walks


def _start(loss: IntArray) -> int:
    """Return the first policy that is within a standard error of the most accurate.

    Where early exits are more accurate than the last, a walk from the last would fail at once.
    """
    mean = loss.mean(axis=0)
    worse = loss - loss[:, mean.argmin(), None]
    allowed = worse.std(axis=0) / np.sqrt(len(loss))
    return int((worse.mean(axis=0) <= allowed + ROUNDING).argmax())


def farthest(walks: Sequence[Walk], max_drop: float) -> Walk:
    """Return the walk that gets cheapest within a drop, judged by the path's own samples."""
    return min(walks, key=lambda walk: walk.path_cost_within(max_drop))


def _sentence(max_drop: float, confidence: float, samples: int, against_plain: bool) -> str:
    reference = "the plain network's" if against_plain else "that of the network's own last exit"
    below = f"at most {points(max_drop)} below" if max_drop else "no lower than"
    return (
        f"On new images like these, accuracy is {below} {reference}. From {samples:,} calibration "
        "images, a guarantee that does not hold is given in this way with a probability of at most "
        f"{100 * (1 - confidence):.4g} %."
    )


def points(fraction: float) -> str:
    """Return a difference of accuracies in words: "0.5 percentage points"."""
    number = f"{100 * fraction:.3g}"
    return f"{number} percentage point{'' if number == '1' else 's'}"


def _rounded_up(drop: float) -> float:
    return float(np.ceil(drop * 10_000) / 10_000)
