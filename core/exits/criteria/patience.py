"""Criterion that counts consecutive exits with the same answer."""

import numpy as np

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray


@criterion(
    "patience",
    "Patience",
    "k/(k + 1) for k consecutive exits, up to this one, that give the same answer.",
    history=True,
)
def patience(table: ExitTable, exit_index: int) -> FloatArray:
    """k / (k + 1): ½ for the first, ⅔ for the second consecutive exit with this answer, ….

    Zhou et al., arXiv 2006.04152, where the least k is a setting; here the threshold decides.
    """
    agree = table.answers[:, : exit_index + 1] == table.answers[:, exit_index, None]
    differs = ~agree[:, ::-1]
    consecutive = np.where(differs.any(axis=1), differs.argmax(axis=1), exit_index + 1)
    score: FloatArray = (consecutive / (consecutive + 1)).astype(np.float32)
    return score
