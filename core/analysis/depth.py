"""What goes along with leaving late."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from core.exits.intervals import CONFIDENCE
from core.exits.table import IntArray


@dataclass(frozen=True)
class Effect:
    """How strongly something goes along with leaving late.

    Attributes:
        name: of it.
        value: in [-1, 1]. Of two images that leave at different exits, how much more often the
            later one has more of it than less (Somers' D): 1 for always, 0 for no relation.
        low: lower end of the confidence interval.
        high: upper end.
    """

    name: str
    value: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval excludes that there is no relation."""
        return self.low > 0 or self.high < 0


def effects(
    exits: IntArray, values: Mapping[str, NDArray[np.generic]], confidence: float = CONFIDENCE
) -> list[Effect]:
    """Return the effects of several things, the strongest first.

    The intervals hold for all of them together (Bonferroni). They are wide where few images leave
    early or late. Somers, American Sociological Review 27:799, 1962; the standard error is that of
    Goodman and Kruskal, Journal of the American Statistical Association 67:415, 1972.

    Args:
        exits: (N,) where images leave.
        values: by name, (N,) what is looked at; of a class, whether an image is of it.
        confidence: of all intervals together.

    Returns:
        Nothing where all images leave at the same exit.
    """
    groups, counts = np.unique(exits, return_counts=True)
    if len(groups) < 2:
        return []
    pairs = len(exits) - counts[np.searchsorted(groups, exits)]  # with another exit, of each image
    z = NormalDist().inv_cdf(1 - (1 - confidence) / (2 * max(len(values), 1)))
    found = []
    for name, given in values.items():
        order = _order(exits, np.asarray(given, np.float64), groups)
        value = float(order.sum() / pairs.sum())
        error = 2 * float(np.sqrt(((order - value * pairs) ** 2).sum())) / float(pairs.sum())
        low, high = max(value - z * error, -1.0), min(value + z * error, 1.0)
        found.append(Effect(name, value, low, high))
    return sorted(found, key=lambda effect: -abs(effect.value))


def _order(
    exits: IntArray, values: NDArray[np.float64], groups: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Of each image, pairs in which the later image has more, less those in which it has less."""
    total = np.zeros(len(exits))
    for group in groups:
        inside = np.sort(values[exits == group])
        less = np.searchsorted(inside, values, side="left")
        more = len(inside) - np.searchsorted(inside, values, side="right")
        total += np.sign(exits - group) * (less - more)
    return total
