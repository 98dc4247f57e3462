"""Class exclusion: exits rule classes out; a sample with a single class left may leave.

Exit i keeps its likeliest class and, of the classes still possible, those with p_c ≥ β_i · max p; a
sample leaves when one class is left, and the final exit answers the likeliest class left (Wang, Li
& Zhang, arXiv 2309.13443). Written as a score, with β_i = 1 − t_i: class c is ruled out at exit i
when x_i(c) = max(1 − p_c / max p, x_{i−1}(c)) exceeds t_i. The likeliest class is never ruled out:
its x_i is reset to 0. With one β for all exits this is exactly the published rule. With several,
the β of the exit that decides is applied to all exits so far, where the paper applies each exit's
own; so the score of an exit does not depend on the thresholds of earlier exits.
"""

from array_api_compat import array_namespace

from core.exits.criteria.criterion import criterion
from core.exits.table import TINY, ExitTable, FloatArray, is_answer


def ruled_out(table: ExitTable, exit_index: int) -> FloatArray:
    """Return x_i ``(N, K)`` in [0, 1]: below this threshold, a class is excluded at the exit.

    At a threshold t the classes with at most t are possible; the likeliest class has 0.
    """
    xp = array_namespace(table.probabilities)
    so_far: FloatArray = xp.zeros_like(table.probabilities[:, 0])
    for index in range(exit_index + 1):
        probabilities = table.probabilities[:, index]
        largest = xp.clip(xp.max(probabilities, axis=1, keepdims=True), TINY, None)
        here = xp.maximum(so_far, 1 - probabilities / largest)
        so_far = xp.where(is_answer(table, index), 0.0, here)
    return so_far


@criterion(
    "exclusion",
    "Class exclusion",
    "How clearly the exits so far rule out all classes but the likeliest.",
    history=True,
    ruled_out=ruled_out,
    array_api=True,
)
def exclusion(table: ExitTable, exit_index: int) -> FloatArray:
    """min over c ≠ argmax p of x_i(c): at a threshold below it, a single class is left."""
    out = ruled_out(table, exit_index)
    xp = array_namespace(out)
    if out.shape[1] == 1:
        return xp.ones_like(out[:, 0])  # type: ignore[no-any-return]
    others = xp.where(is_answer(table, exit_index), 1.0, out)
    smallest: FloatArray = xp.min(others, axis=1)
    return smallest
