"""How many calibration images a target takes: the chance that it can be proven, by simulation."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.exits.table import CostArray, IntArray
from core.tuning.drop_test import DropTest
from core.tuning.path import split_rows
from core.tuning.promise import CONFIDENCE, Walk, check_target, farthest, points

SIZES = tuple(250 * 2**step for step in range(9))
LIKELY = 0.8
"""A target counts as provable with so many images if it is proven with this probability."""
DRAWS = 200


@dataclass(frozen=True)
class HowMany:
    """What S sizes of a calibration split are likely to prove.

    Attributes:
        max_drop: the target.
        confidence: γ.
        samples: ``(S,)`` numbers of calibration images, those that lay the path included.
        chance: ``(S,)`` the probability that some policy is proven to keep the target.
        relative_cost: ``(S,)`` mean cost of the cheapest policy that is proven; None where none is.
        needed: about how many images prove the target with a probability of `LIKELY`; None: more
            than the largest size, or no number.
        sentence: for the user.
    """

    max_drop: float
    confidence: float
    samples: tuple[int, ...]
    chance: tuple[float, ...]
    relative_cost: tuple[float | None, ...]
    needed: int | None
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)


def how_many(
    walks: Sequence[Walk],
    max_drop: float,
    confidence: float = CONFIDENCE,
    sizes: Sequence[int] = SIZES,
    draws: int = DRAWS,
    seed: int = 0,
) -> HowMany:
    """Return what more, or fewer, calibration images are likely to prove.

    The certifying images at hand stand for all images: sets of every size are drawn from them with
    replacement, and `core.tuning.promise` is applied to each. So this is an estimate, no promise,
    and the rougher the fewer images are at hand. The path stays as it is; with more images it would
    get a little better.

    Args:
        walks: as `core.tuning.promise.lay` gives them.
        max_drop: the target.
        confidence: γ.
        sizes: numbers of calibration images, ascending.
        draws: number of sets per size.
        seed: of the draws.

    Raises:
        UserError: a target or confidence out of range.
    """
    check_target(max_drop, confidence)
    walk = farthest(walks, max_drop)
    random = np.random.default_rng(seed)
    chances, costs = [], []
    for size in sizes:
        certifying = len(split_rows(size)[1])
        test = DropTest.of(certifying, max_drop, confidence)
        even = np.full(walk.samples, 1 / walk.samples)
        found = [
            walk.proven(test, drawn) for drawn in random.multinomial(certifying, even, size=draws)
        ]
        proven = [index for index in found if index is not None]
        chances.append(len(proven) / draws)
        costs.append(float(walk.cost[proven].mean()) if proven else None)
    needed = _needed(np.array(sizes), np.array(chances))
    return HowMany(
        max_drop=max_drop,
        confidence=confidence,
        samples=tuple(sizes),
        chance=tuple(chances),
        relative_cost=tuple(costs),
        needed=needed,
        sentence=_sentence(max_drop, confidence, needed, sizes[-1], walk),
    )


def _needed(sizes: IntArray, chances: CostArray) -> int | None:
    """Return where the chance reaches `LIKELY` for good, between two sizes by interpolation."""
    short = np.flatnonzero(chances < LIKELY)
    if not len(short):
        return int(sizes[0])
    last = short[-1]
    if last + 1 == len(sizes):
        return None
    part = (LIKELY - chances[last]) / (chances[last + 1] - chances[last])
    exact = sizes[last] * (sizes[last + 1] / sizes[last]) ** part
    digits = 10 ** max(0, int(np.log10(exact)) - 1)
    return int(np.ceil(exact / digits) * digits)


def _sentence(
    max_drop: float, confidence: float, needed: int | None, largest: int, walk: Walk
) -> str:
    target = f"at most {points(max_drop)} are lost, with a confidence of {100 * confidence:.4g} %"
    if needed is not None:
        return (
            f"With about {needed:,} calibration images it can be proven, in {LIKELY:.0%} of the "
            f"cases, that {target}."
        )
    least = float((walk.losses - walk.gains).min()) / walk.samples
    if least >= max_drop:
        return (
            f"By the {walk.samples:,} images at hand, no number of images proves that {target}: "
            f"the most accurate policy on the path loses {points(least)} on them."
        )
    return f"It takes more than {largest:,} calibration images to prove that {target}."
