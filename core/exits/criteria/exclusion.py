"""Classes are ruled out from exit to exit; a sample with one class left may leave.

Class exclusion (Wang, Li & Zhang, arXiv 2309.13443): exit i keeps its likeliest class and, of the
classes still alive, those with p_c ≥ β_i · max p; a sample leaves when one class is alive, and the
final exit answers the best class alive. Written as a score, with β_i = 1 − t_i: a class is ruled
out at i when x_i(c) = max(1 − p_c / max p, x_{i−1}(c)) exceeds t_i, the likeliest class, which
is never ruled out, starting anew from 0. With one β for all exits this is the published rule to the
letter. With several, the β of the exit that decides is applied to all exits so far, where the
paper applies to each its own; so the score of an exit does not depend on the thresholds before it,
and everything that works on scores works on this one.
"""

import numpy as np

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray


def ruled_out(table: ExitTable, exit_index: int) -> FloatArray:
    """Return ``(N, K)`` in [0, 1]: the highest threshold at which each class is still excluded.

    Alive at a threshold t are the classes with at most t; the likeliest class has 0.
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
    "How surely all classes but one are ruled out by the exits so far.",
    history=True,
    ruled_out=ruled_out,
)
def exclusion(table: ExitTable, exit_index: int) -> FloatArray:
    """min over c ≠ argmax p of x_i(c): at a threshold below it, one class is alive."""
    out = ruled_out(table, exit_index)
    if out.shape[1] == 1:
        return np.ones(len(table), np.float32)
    out[np.arange(len(table)), table.answers[:, exit_index]] = 1
    smallest: FloatArray = out.min(axis=1)
    return smallest
