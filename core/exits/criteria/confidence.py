"""Criterion that reads an exit's confidence branch (EENet)."""

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray


@criterion(
    "confidence",
    "Learned confidence",
    "The output of the exit's confidence branch, trained to decide whether to stop (EENet).",
    needs_confidence=True,
    array_api=True,
)
def learned_confidence(table: ExitTable, exit_index: int) -> FloatArray:
    """h = σ(g) of the confidence branch (Demir & Akbas, arXiv 2409.05336)."""
    assert table.confidence is not None  # checked by `Criterion.score`
    return table.confidence[:, exit_index]
