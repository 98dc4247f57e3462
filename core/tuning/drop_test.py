"""An exact test that a policy's accuracy is at most so far below that of a reference."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from core.exits.intervals import largest_drop, score_statistic
from core.exits.table import BoolArray, CostArray, IntArray

_SHARES, _LARGE_SHARES = 100, 20  # of discordant images, at which the chance is computed
_MARGIN = 0.02  # of the allowed chance, for the shares in between
_REACH = 6.5  # standard deviations of their number that are summed up
_BELOW, _ABOVE = 3.0, 0.2  # of the normal quantile, where the critical value is searched
_PRECISION = 0.002  # of the critical value


@dataclass(frozen=True, eq=False)
class DropTest:
    """A test of n pairs: the drop is proven to be at most D if there are few enough losses.

    An image is a *loss* if only the reference is right, a *gain* if only the policy is. The drop is
    the share of losses less that of gains, among all images that there may be. It is proven where
    `core.exits.intervals.score_statistic` is at most a critical value: not the normal quantile, but
    the largest value at which a drop above D is accepted with a probability of at most 1 − γ,
    however many images are discordant. That probability is the sum over M, the number of discordant
    images,

        Σ_m P(M = m) · P(Bin(m, (1 + D/q) / 2) ≤ most losses at m),    M ~ Bin(n, q),

    and its maximum is taken over 120 values of q in [D, 1], most of them below a quarter, where it
    varies. For the values in between it has to stay 2 % below what is allowed. (An exact
    unconditional test, as in Sidik, Journal of Biopharmaceutical Statistics 13:763, 2003.)

    Attributes:
        samples: n.
        max_drop: D, in [0, 1].
        confidence: γ, in (0, 1).
        most_losses: ``(n+1,)`` by number of discordant images, how many of them may be losses; −1
            where even without a loss nothing is proven.
    """

    samples: int
    max_drop: float
    confidence: float
    most_losses: IntArray

    @classmethod
    def of(cls, samples: int, max_drop: float, confidence: float) -> "DropTest":
        """Return the test of so many pairs."""
        if max_drop >= 1:
            return cls(samples, max_drop, confidence, np.arange(samples + 1))
        chances = _Chances.of(samples, max_drop)
        allowed = (1 - _MARGIN) * (1 - confidence)
        quantile = NormalDist().inv_cdf(allowed)
        low, high = quantile - _BELOW, quantile + _ABOVE
        most = np.full(samples + 1, -1)  # nothing is proven where even the lowest value is too high
        while high - low > _PRECISION:
            middle = (low + high) / 2
            tried = _most_losses(samples, max_drop, middle)
            if chances.of_wrong_proof(tried) <= allowed:
                low, most = middle, tried
            else:
                high = middle
        return cls(samples, max_drop, confidence, most)

    def proves(self, losses: IntArray, gains: IntArray) -> BoolArray:
        """Return whether so many losses and gains, of any one shape, prove the drop."""
        proven: BoolArray = losses <= self.most_losses[losses + gains]
        return proven


def drop_bound(losses: int, gains: int, samples: int, confidence: float) -> float:
    """Return the smallest drop, to a thousandth of a point, that `DropTest` proves."""
    low = max(0.0, (losses - gains) / samples)
    likely = max(largest_drop(losses, gains, samples, confidence), 0.0)  # gains may prevail
    high = min(1.0, 2 * likely + 5 / samples)
    while high - low > 1e-5:
        middle = (low + high) / 2
        statistic = float(score_statistic(losses, gains, samples, middle))
        most = _most_losses(samples, middle, statistic)
        if _Chances.of(samples, middle).of_wrong_proof(most) <= (1 - _MARGIN) * (1 - confidence):
            high = middle
        else:
            low = middle
    return high


def _most_losses(samples: int, drop: float, critical: float) -> IntArray:
    """Return by number of discordant images the most losses with a statistic <= critical."""
    discordant = np.arange(samples + 1)
    low, high = np.full(samples + 1, -1), discordant.copy()
    while (low < high).any():
        middle = (low + high + 1) // 2
        small = score_statistic(middle, discordant - middle, samples, drop) <= critical
        low, high = np.where(small, middle, low), np.where(small, high, middle - 1)
    return low


@dataclass(frozen=True, eq=False)
class _Chances:
    """What may happen if the drop is just above D, for every share q of discordant images.

    Attributes:
        first: ``(Q,)`` for each share, where it begins in the other arrays ``(T,)``.
        discordant: numbers M of discordant images.
        chance: the probability of M.
        gain: the probability that a discordant image is a gain.
    """

    first: IntArray
    discordant: IntArray
    chance: CostArray
    gain: CostArray

    @classmethod
    def of(cls, samples: int, drop: float) -> "_Chances":
        from scipy.special import gammaln, xlog1py, xlogy  # takes a quarter of a second to import

        lowest = np.arcsin(np.sqrt(max(drop, 1e-9)))
        quarter = max(lowest, np.pi / 6)
        angles = (
            np.linspace(lowest, quarter, _SHARES),
            np.linspace(quarter, np.pi / 2, _LARGE_SHARES),
        )
        shares = np.sin(np.concatenate(angles)) ** 2
        reach = _REACH * (1 + np.sqrt(samples * shares * (1 - shares)))
        begin = np.maximum(0, samples * shares - reach).astype(np.int64)
        end = np.minimum(samples, samples * shares + reach).astype(np.int64) + 1
        lengths = end - begin
        first = np.append(0, lengths.cumsum()[:-1])
        discordant = np.arange(lengths.sum()) - np.repeat(first - begin, lengths)
        share = np.repeat(shares, lengths)
        rest = samples - discordant
        log_chance = gammaln(samples + 1) - gammaln(discordant + 1) - gammaln(rest + 1)
        log_chance += xlogy(discordant, share) + xlog1py(rest, -share)
        return cls(first, discordant, np.exp(log_chance), (1 - drop / share) / 2)

    def of_wrong_proof(self, most_losses: IntArray) -> float:
        """Return the highest probability of a proof over all shares of discordant images."""
        from scipy.special import betainc

        losses = most_losses[self.discordant]
        gains = self.discordant - losses
        few = betainc(np.maximum(gains, 1), np.maximum(losses, 0) + 1.0, np.maximum(self.gain, 0))
        few = np.where(gains == 0, 1.0, np.where(losses < 0, 0.0, few))
        return float(np.add.reduceat(self.chance * few, self.first).max())
