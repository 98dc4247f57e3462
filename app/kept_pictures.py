"""Pictures that visitors bring to the Playground: kept in memory for an hour, so that a reload, or
Back, finds them again by the address. Nothing is written to a disk."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from cachetools import TTLCache

BUDGET = 128 * 2**20
"""Bytes of all visitors together; those that came first are let go first."""
SECONDS = 3600.0


@dataclass(frozen=True, eq=False)
class Own:
    """An image of the visitor's, as it came."""

    name: str
    content: bytes
    drawn: bool = False
    label: int | None = None
    dataset: str = ""  # that the label is of


class KeptPictures:
    """Pictures by a word that cannot be guessed."""

    def __init__(
        self,
        budget: int = BUDGET,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kept: TTLCache[str, tuple[Own, ...]] = TTLCache(
            budget, seconds, clock, lambda own: sum(len(one.content) for one in own)
        )
        self._lock = threading.Lock()

    def keep(self, own: Sequence[Own]) -> str:
        """Keep pictures unless they are larger than the budget; return their word."""
        word = secrets.token_urlsafe(16)
        with self._lock, suppress(ValueError):
            self._kept[word] = tuple(own)
        return word

    def find(self, word: str) -> tuple[Own, ...]:
        """Return the pictures of a word; none where they are no longer kept."""
        with self._lock:
            found: tuple[Own, ...] = self._kept.get(word, ())
        return found


@cache
def kept_pictures() -> KeptPictures:
    """Return the pictures of all visitors."""
    return KeptPictures()
