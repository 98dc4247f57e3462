"""Criterion that reads the exits' confidences as gates with a total probability of 1 (JEI-DNN)."""

from array_api_compat import array_namespace

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray


@criterion(
    "gate",
    "Joint gate",
    "The probability of leaving at this exit, given that the sample did not leave earlier. The "
    "exits' confidences, from first to last, are the parts of a total probability of 1 (JEI-DNN).",
    needs_confidence=True,
    history=True,
    array_api=True,
)
def gate(table: ExitTable, exit_index: int) -> FloatArray:
    """p_l = P_l / Π_{j<l} (1 − p_j), P_l = min(g_l, 1 − Σ_{j<l} g_j) ≥ 0 (arXiv 2310.09163)."""
    assert table.confidence is not None  # checked by `Criterion.score`
    xp = array_namespace(table.confidence)
    gates = xp.astype(table.confidence[:, : exit_index + 1], xp.float64)
    used = xp.zeros_like(gates[:, 0])  # Σ_{j<l} g_j
    inside = xp.ones_like(used)  # Π_{j<l} (1 − p_j), the probability of arriving
    leaves = xp.ones_like(used)
    for index in range(exit_index + 1):
        share = xp.clip(xp.minimum(gates[:, index], 1 - used), 0.0, None)
        arriving = inside > 0
        leaves = xp.where(arriving, share / xp.where(arriving, inside, 1.0), 1.0)
        leaves = xp.clip(leaves, 0.0, 1.0)
        used = used + gates[:, index]
        inside = inside * (1 - leaves)
    score: FloatArray = xp.astype(leaves, xp.float32)
    return score
