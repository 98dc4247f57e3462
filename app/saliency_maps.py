"""Saliency maps that a visitor looks at: computed in the background, exit by exit."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from core.foundation.jobs import Job, OnProgress

Map = NDArray[np.float32]


class SaliencyMaps:
    """Maps of one image, one per exit. The rest is not computed once the last reference is gone.

    Attributes:
        found: those that are there so far, by the index of the exit.
        job: that computes them.
    """

    def __init__(self, compute: Callable[[int], Map], num_exits: int) -> None:
        """Begin to compute.

        Args:
            compute: gives the map of an exit.
            num_exits: how many there are.
        """
        found: dict[int, Map] = {}

        def work(on_progress: OnProgress) -> None:
            for index in range(num_exits):
                on_progress(index / num_exits, "")
                found[index] = compute(index)

        self.found = found
        self.job = Job(work, "The maps could not be computed; the reason is in the log.")
