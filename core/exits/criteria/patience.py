"""Criterion that counts consecutive exits with the same answer."""

from array_api_compat import array_namespace

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray


@criterion(
    "patience",
    "Patience",
    "k/(k + 1) for k consecutive exits, up to this one, that give the same answer.",
    history=True,
    array_api=True,
)
def patience(table: ExitTable, exit_index: int) -> FloatArray:
    """k / (k + 1): ½ for the first, ⅔ for the second consecutive exit with this answer, ….

    Zhou et al., arXiv 2006.04152, where the least k is a setting; here the threshold decides.
    """
    xp = array_namespace(table.probabilities)
    answers = table.answers
    run = xp.ones_like(answers[:, 0]) == 1  # whether all exits since then gave this answer
    consecutive = xp.zeros_like(table.probabilities[:, 0, 0])
    for index in range(exit_index, -1, -1):
        run = run & (answers[:, index] == answers[:, exit_index])
        consecutive = consecutive + xp.astype(run, consecutive.dtype)
    score: FloatArray = consecutive / (consecutive + 1)
    return score
