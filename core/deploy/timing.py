"""How long something takes, on a machine that does other things too."""

import statistics
import time
from collections.abc import Callable, Sequence


def median_seconds_of_each(runs: Sequence[Callable[[], object]], repeats: int = 5) -> list[float]:
    """Call each of ``runs`` once to warm up, then in turns; return each one's median wall time.

    Whatever else the machine does meanwhile then slows all of them alike, so their ratio holds.
    """
    for run in runs:
        run()
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, own in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in times]
