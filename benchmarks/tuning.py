"""How long tuning takes: ``python -m benchmarks.tuning``."""

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from core.exits.table import ExitTable
from core.foundation.costs import Costs
from core.tuning.front import front, measured

SAMPLES, CLASSES = 10_000, 10


def table_of(early_exits: int) -> ExitTable:
    """Return a random table whose later exits are better, with saturated scores as real ones."""
    random = np.random.default_rng(0)
    exits = early_exits + 1
    labels = random.integers(CLASSES, size=SAMPLES)
    logits = random.normal(size=(SAMPLES, exits, CLASSES))
    skill = np.linspace(3, 7, exits) + 3 * random.normal(size=(SAMPLES, 1))
    logits[np.arange(SAMPLES), :, labels] += skill
    probabilities = np.exp(logits - logits.max(axis=2, keepdims=True))
    probabilities /= probabilities.sum(axis=2, keepdims=True)
    return ExitTable(
        probabilities=probabilities.astype(np.float32),
        confidence=None,
        labels=labels,
        ids=np.arange(SAMPLES),
        costs=Costs(np.full(exits, 0.99 / exits), np.full(exits, 0.01)),
        classes=tuple(map(str, range(CLASSES))),
    )


def seconds(action: Callable[[], object], times: int) -> float:
    """Return the median wall time of ``action``."""
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def main() -> None:
    """Print the time of the front and of one evaluation, for a few numbers of exits."""
    print(f"{SAMPLES:,} samples; median wall time")
    print("early exits   front   points   one policy")
    for early_exits in (1, 2, 3, 4, 10):
        table = table_of(early_exits)
        found = front(table, "max_probability")
        policy = found.policy(len(found) // 2)
        tuning = seconds(partial(front, table, "max_probability"), 3)
        one = seconds(partial(measured, table, [policy]), 50)
        print(f"{early_exits:11}  {tuning:5.2f} s  {len(found):6}   {one * 1e3:7.3f} ms")


if __name__ == "__main__":
    main()
