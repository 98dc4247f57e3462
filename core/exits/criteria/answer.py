"""Criteria that read an exit's class probabilities: max probability, entropy, margin."""

import numpy as np

from core.exits.criteria.criterion import criterion
from core.exits.table import ExitTable, FloatArray, normalised_entropy


@criterion("max_probability", "Max probability", "The probability of the answer.")
def max_probability(table: ExitTable, exit_index: int) -> FloatArray:
    """max_k y_k."""
    probabilities: FloatArray = table.probabilities[:, exit_index]
    if table.top_classes is not None:
        return probabilities[:, 0]
    largest: FloatArray = probabilities.max(axis=1)
    return largest


@criterion(
    "entropy",
    "Low entropy",
    "1 − entropy / ln K: 1 when one class has all the probability, 0 when all are equal.",
)
def low_entropy(table: ExitTable, exit_index: int) -> FloatArray:
    """1 + Σ y ln y / ln K (BranchyNet, arXiv 1709.01686, normalised by ln K)."""
    if table.entropy is not None:
        return 1 - table.entropy[:, exit_index]
    return 1 - normalised_entropy(table.probabilities[:, exit_index])


@criterion("margin", "Margin", "The probability of the answer minus that of the runner-up.")
def margin(table: ExitTable, exit_index: int) -> FloatArray:
    """y_(1) − y_(2); 1 for a single class."""
    probabilities: FloatArray = table.probabilities[:, exit_index]
    if probabilities.shape[1] == 1:
        return np.ones(len(table), np.float32)
    if table.top_classes is None:
        probabilities = -np.partition(-probabilities, 1, axis=1)
    gap: FloatArray = probabilities[:, 0] - probabilities[:, 1]
    return gap
