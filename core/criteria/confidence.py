"""The exit's own confidence branch decides (EENet)."""

from core.criteria.criterion import criterion
from core.errors import UserError
from core.table import ExitTable, FloatArray


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
