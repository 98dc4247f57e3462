"""Turns for heavy work, first come, first served."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.foundation.errors import UserError

LONGEST = 300.0
"""Seconds that work waits for its turn."""


@dataclass
class _Waiting:
    in_background: bool
    begins: threading.Event = field(default_factory=threading.Event)


class Turns:
    """Places for heavy work. Nobody is overtaken, so that long work in many turns holds up none.

    Work in the background leaves one place, where there are several, to what a page waits for.
    """

    def __init__(self, places: int) -> None:
        self._free, self._free_in_background = places, max(places - 1, 1)
        self._waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Wait for a place, and have it for the time of the block."""
        with self._place(_Waiting(in_background=False)):
            yield

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Do so for work that no page waits for."""
        with self._place(_Waiting(in_background=True)):
            yield

    @contextmanager
    def _place(self, mine: _Waiting) -> Iterator[None]:
        with self._lock:
            self._waiting.append(mine)
            self._let_in()
        if not mine.begins.wait(LONGEST) and self._gave_up(mine):
            raise UserError(
                f"expected a free core within {LONGEST / 60:.0f} minutes, but others were not done "
                "by then: try again later."
            )
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._free_in_background += mine.in_background
                self._let_in()

    def _gave_up(self, mine: _Waiting) -> bool:
        """Leave the queue; return False where a place came just now."""
        with self._lock:
            if mine.begins.is_set():
                return False
            self._waiting.remove(mine)
            return True

    def _let_in(self) -> None:
        for one in list(self._waiting):
            if self._free and (self._free_in_background or not one.in_background):
                self._waiting.remove(one)
                self._free -= 1
                self._free_in_background -= one.in_background
                one.begins.set()
