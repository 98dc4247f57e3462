"""Accuracy of plain networks by size, the baseline of small networks.

The alternative to an early-exit network is a smaller plain network, which spends the same compute
on every image and needs neither heads nor thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from core.hub.card import Card


@dataclass(frozen=True)
class PlainNetwork:
    """A network without early exits: name, MACs per image and accuracy on test."""

    name: str
    macs: int
    accuracy: float


def size_curve(cards: Sequence[Card], dataset: str) -> list[PlainNetwork]:
    """Return the upper concave hull of plain networks' accuracies over log MACs, smallest first.

    Networks below a smaller network, or below the line between two others, are left out.
    """
    plains = sorted(
        (card.plain_macs, -card.per_exit_accuracy["test"][-1], card.name)
        for card in cards
        if card.dataset == dataset and card.num_exits == 1
    )
    curve: list[PlainNetwork] = []
    for macs, minus_accuracy, name in plains:
        network = PlainNetwork(name, macs, -minus_accuracy)
        if not curve or network.accuracy > curve[-1].accuracy:
            while len(curve) > 1 and _slope(curve[-2], curve[-1]) <= _slope(curve[-1], network):
                curve.pop()
            curve.append(network)
    return curve


def _slope(low: PlainNetwork, high: PlainNetwork) -> float:
    return (high.accuracy - low.accuracy) / log(high.macs / low.macs)


def accuracy_by_size(curve: Sequence[PlainNetwork], macs: float) -> float | None:
    """Return the accuracy at so many MACs, by linear interpolation of the curve in log MACs.

    None below the smallest network; above the largest, its accuracy.
    """
    if not curve or macs < curve[0].macs:
        return None
    sizes = [log(network.macs) for network in curve]
    return float(np.interp(log(macs), sizes, [network.accuracy for network in curve]))
