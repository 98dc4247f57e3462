"""Wall times that visitors look at: measured in the background, once for all of them."""

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from app.turns import Turns
from core.exits.policy import Policy
from core.foundation.jobs import Job

if TYPE_CHECKING:
    from core.hub.model import Model

MOST = 1024
"""How many wall times are remembered."""
REPEATS = 15


@dataclass(frozen=True)
class WallTime:
    """Of one image, run again and again, in turns with early exits and without.

    Attributes:
        seconds: median with early exits.
        middle_half: of these times, its ends.
        ratio: median, over the turns, of the time with early exits in units of that without.
        ratio_middle_half: of these ratios, its ends.
        repeats: number of turns.
    """

    seconds: float
    middle_half: tuple[float, float]
    ratio: float
    ratio_middle_half: tuple[float, float]
    repeats: int

    @classmethod
    def of(cls, skipping: Sequence[float], whole: Sequence[float]) -> "WallTime":
        """Return what the times of the turns come to."""
        low, seconds, high = _quartiles(np.asarray(skipping))
        ratio_low, ratio, ratio_high = _quartiles(np.asarray(skipping) / np.asarray(whole))
        return cls(seconds, (low, high), ratio, (ratio_low, ratio_high), len(skipping))


def _quartiles(values: NDArray[np.float64]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return low, middle, high


class WallTimes:
    """Jobs that measure, by what they measure."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._jobs: LRUCache[Hashable, Job[WallTime]] = LRUCache(MOST)
        self._lock = threading.Lock()

    def of(
        self,
        key: Hashable,
        load: Callable[[], "Model"],
        pixels: NDArray[np.uint8],
        policy: Policy,
    ) -> Job[WallTime]:
        """Return the job that measures one image, new or known by its key.

        Args:
            key: of what determines the time.
            load: gives the model.
            pixels: (H, W, C).
            policy: with early exits.
        """
        with self._lock:
            if key not in self._jobs:  # what failed once would fail again at every look
                self._jobs[key] = Job(
                    lambda _: self._measured(load(), pixels, policy), "It could not be measured."
                )
            return self._jobs[key]

    def _measured(self, model: "Model", pixels: NDArray[np.uint8], policy: Policy) -> WallTime:
        from core.deploy.benchmark import seconds_of_each  # brings torch

        never = Policy.never(policy.criterion, model.card.num_exits)
        runs = [partial(model.predict, pixels[None], chosen) for chosen in (policy, never)]
        with self._turns.in_background():
            skipping, whole = seconds_of_each(runs, REPEATS)
        return WallTime.of(skipping, whole)
