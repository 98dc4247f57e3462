"""The exits' gates share out the probability of leaving (JEI-DNN)."""

import numpy as np

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray


@criterion(
    "gate",
    "Joint gate",
    "The probability of leaving here, given that nobody left before, when the exits' confidences "
    "share out one unit of probability from the first to the last (JEI-DNN).",
    needs_confidence=True,
    history=True,
)
def gate(table: ExitTable, exit_index: int) -> FloatArray:
    """p_l = P_l / Π_{j<l} (1 − p_j), P_l = min(g_l, 1 − Σ_{j<l} g_j) ≥ 0 (arXiv 2310.09163)."""
    assert table.confidence is not None  # seen to by `Criterion.score`
    gates = table.confidence[:, : exit_index + 1].astype(np.float64)
    given_out = np.zeros(len(table))  # Σ of the gates so far
    inside = np.ones(len(table))  # Π (1 − p_j): the part that has not left
    leaves = np.ones(len(table))
    for column in gates.T:
        share = np.clip(np.minimum(column, 1 - given_out), 0, None)
        leaves = np.divide(share, inside, out=np.ones_like(share), where=inside > 0).clip(0, 1)
        given_out += column
        inside *= 1 - leaves
    score: FloatArray = leaves.astype(np.float32)
    return score
