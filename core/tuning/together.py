"""Several promises that were asked of the same images."""

from collections.abc import Iterable


def confidence_of_all(confidences: Iterable[float]) -> float:
    """Return the confidence, at least, with which all promises hold: 1 − Σ (1 − γ), at least 0.

    That is Bonferroni's bound. It holds for whichever of them is kept, however it was picked.
    """
    return max(0.0, 1 - sum(1 - confidence for confidence in confidences))
