"""Criteria that read an exit's class probabilities: max probability, entropy, margin."""

from array_api_compat import array_namespace

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray, is_answer, normalised_entropy


@criterion("max_probability", "Max probability", "The probability of the answer.", array_api=True)
def max_probability(table: ExitTable, exit_index: int) -> FloatArray:
    """max_k y_k."""
    probabilities: FloatArray = table.probabilities[:, exit_index]
    if table.top_classes is not None:
        return probabilities[:, 0]
    largest: FloatArray = array_namespace(probabilities).max(probabilities, axis=1)
    return largest


@criterion(
    "entropy",
    "Low entropy",
    "1 − entropy / ln K: 1 when one class has all the probability, 0 when all are equal.",
    array_api=True,
)
def low_entropy(table: ExitTable, exit_index: int) -> FloatArray:
    """1 + Σ y ln y / ln K (BranchyNet, arXiv 1709.01686, normalised by ln K)."""
    if table.entropy is not None:
        return 1 - table.entropy[:, exit_index]
    return 1 - normalised_entropy(table.probabilities[:, exit_index])


@criterion(
    "margin",
    "Margin",
    "The probability of the answer minus that of the runner-up.",
    array_api=True,
)
def margin(table: ExitTable, exit_index: int) -> FloatArray:
    """y_(1) − y_(2); 1 for a single class."""
    probabilities: FloatArray = table.probabilities[:, exit_index]
    xp = array_namespace(probabilities)
    if probabilities.shape[1] == 1:
        return xp.ones_like(probabilities[:, 0])  # type: ignore[no-any-return]
    if table.top_classes is not None:
        return probabilities[:, 0] - probabilities[:, 1]
    others = xp.where(is_answer(table, exit_index), -1.0, probabilities)
    gap: FloatArray = xp.max(probabilities, axis=1) - xp.max(others, axis=1)
    return gap
