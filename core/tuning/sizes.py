"""Being small instead of leaving early: what plain networks of other sizes reach.

The honest rival of an early-exit network is a smaller plain one: it spends the same on every image
and needs neither heads nor thresholds.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from core.card import Card


@dataclass(frozen=True)
class PlainNetwork:
    """A network without early exits: name, MACs per image and accuracy on test."""

    name: str
    macs: int
    accuracy: float


def size_curve(cards: Sequence[Card], dataset: str) -> list[PlainNetwork]:
    """Return the plain networks of a data set that no smaller one beats, smallest first."""
    plains = sorted(
        (card.plain_macs, -card.per_exit_accuracy["test"][-1], card.name)
        for card in cards
        if card.dataset == dataset and card.num_exits == 1
    )
    curve: list[PlainNetwork] = []
    for macs, minus_accuracy, name in plains:
        if not curve or -minus_accuracy > curve[-1].accuracy:
            curve.append(PlainNetwork(name, macs, -minus_accuracy))
    return curve


def accuracy_by_size(curve: Sequence[PlainNetwork], macs: float) -> float | None:
    """Return the accuracy of a plain network of so many MACs, between two linear in log MACs.

    None below the smallest; above the largest, the largest's.
    """
    above = bisect_right([one.macs for one in curve], macs)
    if above == 0:
        return None
    if above == len(curve):
        return curve[-1].accuracy
    low, high = curve[above - 1], curve[above]
    share = log(macs / low.macs) / log(high.macs / low.macs)
    return low.accuracy + share * (high.accuracy - low.accuracy)
