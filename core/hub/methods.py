"""The published methods by which the shipped models were made."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A published method for early-exit networks.

    Attributes:
        title: name in the literature.
        source: the paper.
        idea: one sentence.
        criterion: the paper's own criterion, a name in `core.exits.criteria.CRITERIA`.
    """

    title: str
    source: str
    idea: str
    criterion: str


METHODS = {
    "plain": Method("Plain network", "", "No early exits: the yardstick.", "max_probability"),
    "eenet": Method(
        "EENet",
        "Demir & Akbas, arXiv 2409.05336",
        "Every exit has a confidence branch that learns when to stop.",
        "confidence",
    ),
    "pteenet": Method(
        "PTEENet",
        "Lahiany & Aperstein, arXiv 2501.02508",
        "Branches with confidences on a trained network that stays frozen.",
        "confidence",
    ),
    "branchynet": Method(
        "BranchyNet",
        "Teerapittayanon et al., arXiv 1709.01686",
        "Every exit is taught to answer; a low entropy lets go.",
        "entropy",
    ),
    "exclusion": Method(
        "Class exclusion",
        "Wang, Li & Zhang, arXiv 2309.13443",
        "Exits rule classes out one after the other; one class left is an answer.",
        "exclusion",
    ),
    "jeidnn": Method(
        "JEI-DNN",
        "Regol et al., arXiv 2310.09163",
        "Heads and gates on a frozen network learn in turns, each knowing of the other.",
        "gate",
    ),
    "hierarchical": Method(
        "Hierarchical training",
        "Sepehri et al., arXiv 2303.02384",
        "An edge and a cloud worker train their halves at once; no gradient crosses the link.",
        "max_probability",
    ),
}


def title_of(method: str) -> str:
    """Return a method's title; of a method not in `METHODS`, its name."""
    return METHODS[method].title if method in METHODS else method


def own_criterion(method: str, available: Sequence[str]) -> str:
    """Return a method's criterion; of a method not in `METHODS`, the first available one."""
    if method in METHODS and METHODS[method].criterion in available:
        return METHODS[method].criterion
    return available[0]
