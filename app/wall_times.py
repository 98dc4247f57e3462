"""Wall times that visitors look at: measured in the background, once for all of them."""

import threading
from collections.abc import Callable, Hashable
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
REPEATS = 9

Seconds = tuple[float, float]
"""Of one image with early exits, and without."""


class WallTimes:
    """Jobs that measure, by what they measure."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._jobs: LRUCache[Hashable, Job[Seconds]] = LRUCache(MOST)
        self._lock = threading.Lock()

    def of(
        self,
        key: Hashable,
        load: Callable[[], "Model"],
        pixels: NDArray[np.uint8],
        policy: Policy,
    ) -> Job[Seconds]:
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

    def _measured(self, model: "Model", pixels: NDArray[np.uint8], policy: Policy) -> Seconds:
        from core.deploy.benchmark import median_seconds_of_each  # brings torch

        never = Policy.never(policy.criterion, model.card.num_exits)
        runs = [partial(model.predict, pixels[None], chosen) for chosen in (policy, never)]
        with self._turns.in_background():
            skipping, whole = median_seconds_of_each(runs, REPEATS)
        return skipping, whole
