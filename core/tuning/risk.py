"""Risks of leaving early, and statistical tests that prove from samples that a risk is small.

`core.tuning.guarantee` uses both to choose thresholds with a guarantee.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.exits.table import BoolArray, CostArray, ExitTable
from core.foundation.errors import UserError
from core.foundation.registry import Registry

_LARGEST_BET = 0.75  # share of the capital that one sample can cost: no loss may use it up
ROUNDING = 1e-12

Losses = Callable[[ExitTable], CostArray]
Certifies = Callable[[CostArray, float, float, bool], BoolArray]


@dataclass(frozen=True)
class Risk:
    """A risk of leaving early: the mean of a loss per sample and exit, 0 at the last exit.

    Attributes:
        statement: a clause for "the risk is at most ε", with ``{level}``, ``{percent}`` or
            ``{points}``.
        lowest: smallest possible loss; below 0 where leaving early may also gain something.
        highest: largest possible loss.
        binary: whether a loss above 0 is always 1.
        needs_labels: whether the loss depends on the labels.
        losses: gives ``(N, E)`` for a table.
    """

    name: str
    title: str
    description: str
    statement: str
    lowest: float
    highest: float
    binary: bool
    needs_labels: bool
    losses: Losses


@dataclass(frozen=True)
class Method:
    """A statistical test that a mean is at most ε.

    Attributes:
        on_average: whether the guarantee is one on the mean over calibration sets, not one with a
            probability; ``certifies`` is then given each sample's largest loss so far on the path.
        signed: whether gains offset losses; else they count as 0.
        certifies: ``(losses (n, M) in [0, 1], epsilon, delta, binary)`` → ``(M,)`` whether the
            mean of each column is proven to be at most epsilon.
    """

    name: str
    title: str
    description: str
    on_average: bool
    signed: bool
    certifies: Certifies


RISKS: Registry[Risk] = Registry("risk")
METHODS: Registry[Method] = Registry("risk-control method")


def risk(
    name: str,
    title: str,
    description: str,
    statement: str,
    *,
    lowest: float,
    highest: float,
    binary: bool,
    needs_labels: bool = True,
) -> Callable[[Losses], Losses]:
    """Register the decorated ``table -> losses (N, E)`` as a `Risk`."""
    facts = title, description, statement, lowest, highest, binary, needs_labels
    return RISKS.register_made(name, Risk, *facts)


def method(
    name: str, title: str, description: str, *, on_average: bool, signed: bool
) -> Callable[[Certifies], Certifies]:
    """Register the decorated function as the ``certifies`` of a `Method`."""
    return METHODS.register_made(name, Method, title, description, on_average, signed)


@risk(
    "accuracy_gap",
    "Accuracy lost",
    "How much lower the accuracy is than the full network's; rescued samples make up for "
    "ruined ones.",
    "leaving early costs at most {points} of accuracy, compared with always "
    "running the full network",
    lowest=-1,
    highest=1,
    binary=True,
)
def accuracy_gap(table: ExitTable) -> CostArray:
    """1[early answer wrong] − 1[full network wrong]."""
    full: CostArray = table.right[:, -1:].astype(np.float64)
    return full - table.right


@risk(
    "ruined",
    "Ruined answers",
    "The share of samples answered wrongly that the full network answers rightly; rescued samples "
    "do not make up for them.",
    "leaving early ruins at most {percent:g} % of the answers: the full network is right there "
    "and the early exit is wrong",
    lowest=0,
    highest=1,
    binary=True,
)
def ruined(table: ExitTable) -> CostArray:
    """max(0, accuracy gap)."""
    return np.maximum(accuracy_gap(table), 0)


@risk(
    "consistency",
    "Changed answers",
    "The share of samples that get another answer than the full network's; needs no labels.",
    "at most {percent:g} % of the samples get another answer than the full network's",
    lowest=0,
    highest=1,
    binary=True,
    needs_labels=False,
)
def consistency(table: ExitTable) -> CostArray:
    """1[early answer ≠ the full network's]."""
    changed: BoolArray = table.answers != table.answers[:, -1:]
    return changed.astype(np.float64)


@risk(
    "brier_gap",
    "Brier score lost",
    "How much worse the probabilities are than the full network's, as squared distance to the "
    "truth (0 is perfect, 2 the worst).",
    "leaving early worsens the Brier score by at most {level:g}, compared with the full network",
    lowest=-2,
    highest=2,
    binary=False,
)
def brier_gap(table: ExitTable) -> CostArray:
    """Σ_k (p_k − 1[k = y])², less the same at the last exit."""
    if table.top_classes is not None:
        raise UserError(
            "expected a `table` with all classes for the risk 'brier_gap', but got one that keeps "
            f"the top {table.probabilities.shape[2]} of {table.num_classes}; use another risk."
        )
    probabilities = table.probabilities.astype(np.float64)
    of_label = np.take_along_axis(probabilities, table.labels[:, None, None], axis=2)[:, :, 0]
    score: CostArray = (probabilities**2).sum(axis=2) - 2 * of_label + 1
    return score - score[:, -1:]


@method(
    "ucb",
    "Upper confidence bound",
    "Bets on the risk being small, sample by sample; proven once the bets have won enough.",
    on_average=False,
    signed=True,
)
def betting_bound(losses: CostArray, epsilon: float, delta: float, binary: bool) -> BoolArray:
    """Whether the capital Π_j (1 − ν_j (L_j − ε)) ever reaches 1/δ.

    ν_j = √(2 ln(1/δ) / (n σ̂²_{j−1})), capped, with σ̂² the variance so far shrunk to that of a coin.
    If the mean is above ε the capital is a supermartingale that starts at 1 and stays above 0, so
    it reaches 1/δ with probability at most δ (Waudby-Smith & Ramdas, arXiv 2010.09686, used for
    risk control by Bates et al., arXiv 2101.02703, and Jazbec et al., arXiv 2405.20915). The
    capital may reach 1/δ early on and be lost again, so the mean loss must also be at most ε.
    """
    count = len(losses)
    seen = np.arange(1, count + 1)[:, None]
    mean = (0.5 + losses.cumsum(axis=0)) / (seen + 1)
    variance = (0.25 + ((losses - mean) ** 2).cumsum(axis=0)) / (seen + 1)
    before = np.concatenate([np.full_like(variance[:1], 0.25), variance[:-1]])
    bets = np.sqrt(2 * np.log(1 / delta) / (count * before))
    bets = np.minimum(bets, _LARGEST_BET / (1 - epsilon))
    capital = np.log1p(-bets * (losses - epsilon)).cumsum(axis=0)
    won = capital.max(axis=0) >= np.log(1 / delta)
    proven: BoolArray = won & (losses.mean(axis=0) <= epsilon)
    return proven


@method(
    "ltt",
    "Learn then test",
    "Computes how likely so few losses would be if the risk were too high; proven if that is too "
    "unlikely.",
    on_average=False,
    signed=False,
)
def tail_test(losses: CostArray, epsilon: float, delta: float, binary: bool) -> BoolArray:
    """Whether the p-value of "the mean is above ε" is at most δ.

    For losses of 0 and 1 the binomial tail P(Bin(n, ε) ≤ Σ L), which is exact; for others the
    smaller of Hoeffding's exp(−n KL(min(L̄, ε), ε)) and Bentkus' e·P(Bin(n, ε) ≤ ⌈Σ L⌉)
    (Angelopoulos et al., arXiv 2110.01052).
    """
    from scipy.special import bdtr, rel_entr  # takes a quarter of a second to import

    count = len(losses)
    total = losses.sum(axis=0)
    tail = bdtr(np.ceil(total - 1e-9), count, epsilon)
    if binary:
        p_value = tail
    else:
        mean = np.minimum(total / count, epsilon)
        divergence = rel_entr(mean, epsilon) + rel_entr(1 - mean, 1 - epsilon)
        p_value = np.minimum(np.exp(-count * divergence), np.e * tail)
    small: BoolArray = p_value <= delta
    return small


@method(
    "crc",
    "Conformal risk control",
    "Bounds the risk on average over calibration sets: a weaker guarantee that saves more.",
    on_average=True,
    signed=False,
)
def conformal(losses: CostArray, epsilon: float, delta: float, binary: bool) -> BoolArray:
    """Whether (Σ L + 1)/(n + 1) ≤ ε: the mean, with one more sample of the largest loss.

    Angelopoulos et al., arXiv 2208.02814. δ is not used.
    """
    within: BoolArray = (losses.sum(axis=0) + 1) / (len(losses) + 1) <= epsilon + ROUNDING
    return within
