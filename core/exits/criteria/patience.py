"""Several exits in a row that agree decide."""

import numpy as np

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray


@criterion(
    "patience",
    "Patience",
    "How many exits in a row, this one included, give the same answer: k of them score k/(k + 1).",
    history=True,
)
def patience(table: ExitTable, exit_index: int) -> FloatArray:
    """k / (k + 1): above ½ from the second in a row on, above ⅔ from the third.

    The patience of Zhou et al. (arXiv 2006.04152), where k is a setting, here the threshold.
    """
    agree = table.answers[:, : exit_index + 1] == table.answers[:, exit_index, None]
    others = ~agree[:, ::-1]
    in_a_row = np.where(others.any(axis=1), others.argmax(axis=1), exit_index + 1)
    score: FloatArray = (in_a_row / (in_a_row + 1)).astype(np.float32)
    return score
