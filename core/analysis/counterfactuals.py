"""Counterfactuals: the least corruption that sends an image to another exit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.analysis.corruptions import CORRUPTIONS, corrupt
from core.exits.routing import Routing

SEVERITIES = tuple(np.linspace(0.05, 1, 20).round(2).tolist())


@dataclass(frozen=True)
class Counterfactual:
    """A version of an image that leaves at another exit than the image itself.

    Attributes:
        corruption: its name in `CORRUPTIONS`.
        severity: the least one of `SEVERITIES` for which that is so.
        position: of the version among `versions`.
        later: whether it leaves at a later exit.
    """

    corruption: str
    severity: float
    position: int
    later: bool


def versions(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W, C), then its corruptions by kind and severity (1 + kinds · 20, …)."""
    worse = [corrupt(pixels, name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
    return np.stack([pixels, *worse])


def counterfactuals(routing: Routing) -> list[Counterfactual]:
    """Return of each corruption the least that sends an image to a later, or to an earlier exit.

    The least severe come first. A corruption that never does so is left out.

    Args:
        routing: of all `versions` of the image.
    """
    exits = routing.exits.astype(np.int64)
    moved = exits[1:].reshape(len(CORRUPTIONS), len(SEVERITIES)) - exits[0]
    found = []
    for row, name in enumerate(CORRUPTIONS):
        for later in (True, False):
            places = np.flatnonzero(moved[row] > 0 if later else moved[row] < 0)
            if len(places):
                position = 1 + row * len(SEVERITIES) + int(places[0])
                found.append(Counterfactual(name, SEVERITIES[places[0]], position, later))
    return sorted(found, key=lambda one: one.severity)
