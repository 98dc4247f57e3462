"""Criterion that reads the exits' confidences as gates with a total probability of 1 (JEI-DNN)."""

import numpy as np

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray


@criterion(
    "gate",
    "Joint gate",
    "The probability of leaving at this exit, given that the sample did not leave earlier. The "
    "exits' confidences, from first to last, are the parts of a total probability of 1 (JEI-DNN).",
    needs_confidence=True,
    history=True,
)
def gate(table: ExitTable, exit_index: int) -> FloatArray:
    """p_l = P_l / Π_{j<l} (1 − p_j), P_l = min(g_l, 1 − Σ_{j<l} g_j) ≥ 0 (arXiv 2310.09163)."""
    assert table.confidence is not None  # checked by `Criterion.score`
    gates = table.confidence[:, : exit_index + 1].astype(np.float64)
    used = np.zeros(len(table))  # Σ_{j<l} g_j
    inside = np.ones(len(table))  # Π_{j<l} (1 − p_j), the probability of arriving
    leaves = np.ones(len(table))
    for column in gates.T:
        share = np.clip(np.minimum(column, 1 - used), 0, None)
        leaves = np.divide(share, inside, out=np.ones_like(share), where=inside > 0).clip(0, 1)
        used += column
        inside *= 1 - leaves
    score: FloatArray = leaves.astype(np.float32)
    return score
