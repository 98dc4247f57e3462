"""Random exit tables for the tests."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from core.exits.table import ExitTable, normalised_entropy
from core.foundation.costs import Costs


def random_table(
    samples: int = 50,
    exits: int = 4,
    classes: int = 5,
    *,
    seed: int = 0,
    confidence: bool = True,
    coarse: bool = False,
    entropy: bool = False,
) -> ExitTable:
    """A table whose later exits are better; ``coarse`` makes ties of probability and score."""
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=samples)
    hardness = random.normal(size=(samples, 1))
    skill = np.linspace(0.5, 4, exits) - hardness  # (N, E)
    logits = random.normal(size=(samples, exits, classes))
    logits[np.arange(samples), :, labels] += skill
    if coarse:
        logits = np.round(logits)
    probabilities = np.exp(logits - logits.max(axis=2, keepdims=True))
    probabilities /= probabilities.sum(axis=2, keepdims=True)
    learned = 1 / (1 + np.exp(-(skill + random.normal(size=skill.shape))[:, : exits - 1]))
    if coarse:
        learned = np.round(learned, 1)
    stages = random.uniform(0.5, 1, size=exits)
    last_head = 0.01
    return ExitTable(
        probabilities=probabilities.astype(np.float32),
        confidence=learned.astype(np.float32) if confidence else None,
        labels=labels,
        ids=np.arange(samples),
        costs=Costs(
            stages / stages.sum() * (1 - last_head),
            np.append(random.uniform(0, 0.05, size=exits - 1), last_head),
        ),
        classes=tuple(f"class {k}" for k in range(classes)),
        entropy=normalised_entropy(probabilities.astype(np.float32)) if entropy else None,
    )


def changed(table: ExitTable, **fields: Any) -> ExitTable:
    """The table with these fields, given as anything that can become an array."""
    return replace(table, **fields)


def last_exit_only(table: ExitTable) -> ExitTable:
    """The table of the plain network."""
    costs = Costs([table.costs.stages.sum()], table.costs.heads[-1:])
    return replace(table, probabilities=table.probabilities[:, -1:], confidence=None, costs=costs)


@st.composite
def tables(draw: st.DrawFn, max_samples: int = 40, max_exits: int = 5) -> ExitTable:
    """Tables of every small shape, with and without ties."""
    return random_table(
        draw(st.integers(1, max_samples)),
        draw(st.integers(1, max_exits)),
        draw(st.integers(2, 6)),
        seed=draw(st.integers(0, 2**32 - 1)),
        coarse=draw(st.booleans()),
    )
