"""A slow link, simulated: a token bucket."""

from core.foundation.errors import UserError


class TokenBucket:
    """Tokens, one per bit, come at a steady rate and gather up to a burst.

    A message takes a token for each of its bits. Where there are too few it goes into debt, and
    has arrived when the debt is paid: in the long run no more than the rate gets through.
    """

    def __init__(self, rate: float, burst: float = 0.0) -> None:
        """Take ``rate`` in bits per second and ``burst`` in bits; the bucket starts full.

        Raises:
            UserError: a rate that is not above 0, or a burst below 0.
        """
        if not rate > 0:
            raise UserError(
                f"expected the link's rate to be more than 0 bits per second, but got {rate:g}: "
                "give one like 10M, or none for a link that is not slowed down."
            )
        if not burst >= 0:
            raise UserError(f"expected `burst` to be 0 bits or more, but got {burst:g}.")
        self.rate, self.burst = rate, burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, bits: float, now: float) -> float:
        """Send so many bits at ``now`` (seconds); return how long until the last has arrived."""
        if self._at is not None:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        self._tokens -= bits
        return max(0.0, -self._tokens / self.rate)
