"""Criteria: how safe it is to stop at an exit, as one number per sample."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.errors import UserError
from core.registry import Registry
from core.table import ExitTable, FloatArray, normalised_entropy

Function = Callable[[ExitTable, int], FloatArray]


@dataclass(frozen=True)
class Criterion:
    """A named score in [0, 1], higher meaning safer to stop.

    ``function(table, i)`` gives the scores ``(N,)`` of exit ``i``. It is causal: it reads the
    exits up to ``i`` and nothing of later ones, so live inference can call it on a table that
    holds the exits so far.
    """

    name: str
    title: str
    description: str
    needs_confidence: bool
    function: Function

    def score(self, table: ExitTable, exit_index: int) -> FloatArray:
        """Return the scores ``(N,)`` of one exit.

        Raises:
            UserError: the criterion needs a learned confidence that the exit has not.
        """
        if self.needs_confidence and (
            table.confidence is None or exit_index >= table.confidence.shape[1]
        ):
            usable = ", ".join(available(table))
            raise UserError(
                f"expected a learned confidence at exit {exit_index} for the criterion "
                f"'{self.name}', but there is none; use one of: {usable}."
            )
        return self.function(table, exit_index)

    def scores(self, table: ExitTable) -> FloatArray:
        """Return the scores ``(N, E-1)`` of all early exits."""
        scores = np.empty((len(table), table.num_exits - 1), np.float32)
        for exit_index in range(table.num_exits - 1):
            scores[:, exit_index] = self.score(table, exit_index)
        return scores


CRITERIA: Registry[Criterion] = Registry("criterion")


def criterion(
    name: str, title: str, description: str, *, needs_confidence: bool = False
) -> Callable[[Function], Function]:
    """Register the decorated ``(table, exit_index) -> scores (N,)`` as a criterion."""

    def add(function: Function) -> Function:
        CRITERIA.register(name)(Criterion(name, title, description, needs_confidence, function))
        return function

    return add


def available(table: ExitTable) -> tuple[str, ...]:
    """Return the names of the criteria that can be computed on ``table``."""
    return tuple(
        name
        for name, item in CRITERIA.items()
        if table.confidence is not None or not item.needs_confidence
    )


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
