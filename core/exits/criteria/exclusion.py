"""Class exclusion: exits rule classes out; a sample with a single class left may leave.

Exit i keeps its likeliest class and, of the classes still possible, those with p_c ≥ β_i · max p; a
sample leaves when one class is left, and the final exit answers the likeliest class left (Wang, Li
& Zhang, arXiv 2309.13443). Written as a score, with β_i = 1 − t_i: class c is ruled out at exit i
when x_i(c) = max(1 − p_c / max p, x_{i−1}(c)) exceeds t_i. The likeliest class is never ruled out:
its x_i is reset to 0. With one β for all exits this is exactly the published rule. With several,
the β of the exit that decides is applied to all exits so far, where the paper applies each exit's
own; so the score of an exit does not depend on the thresholds of earlier exits.
"""

import numpy as np

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray


def ruled_out(table: ExitTable, exit_index: int) -> FloatArray:
    """Return x_i ``(N, K)`` in [0, 1]: below this threshold, a class is excluded at the exit.

    At a threshold t the classes with at most t are possible; the likeliest class has 0.
    """
    rows = np.arange(len(table))
    so_far = np.zeros((len(table), table.probabilities.shape[2]), np.float32)
    for index in range(exit_index + 1):
        probabilities: FloatArray = table.probabilities[:, index]
        best = table.answers[:, index]
        largest = np.maximum(probabilities[rows, best], np.finfo(np.float32).tiny)
        np.maximum(so_far, 1 - probabilities / largest[:, None], out=so_far)
        so_far[rows, best] = 0
    return so_far


@criterion(
    "exclusion",
    "Class exclusion",
    "How clearly the exits so far rule out all classes but the likeliest.",
    history=True,
    ruled_out=ruled_out,
)
def exclusion(table: ExitTable, exit_index: int) -> FloatArray:
    """min over c ≠ argmax p of x_i(c): at a threshold below it, a single class is left."""
    out = ruled_out(table, exit_index)
    if out.shape[1] == 1:
        return np.ones(len(table), np.float32)
    out[np.arange(len(table)), table.answers[:, exit_index]] = 1
    smallest: FloatArray = out.min(axis=1)
    return smallest
