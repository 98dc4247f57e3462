"""The exit's own confidence branch decides (EENet)."""

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray
from core.foundation.errors import UserError


@criterion(
    "confidence",
    "Learned confidence",
    "The exit's own confidence branch, trained to say whether to stop (EENet).",
    needs_confidence=True,
)
def learned_confidence(table: ExitTable, exit_index: int) -> FloatArray:
    """h = σ(g) of the confidence branch (Demir & Akbas, arXiv 2409.05336)."""
    if table.confidence is None:
        raise UserError("expected a table with a learned confidence, but it has none.")
    return table.confidence[:, exit_index]
