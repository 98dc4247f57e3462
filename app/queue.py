"""A queue for a visitor's long work: so many at once, so many waiting, and none without end."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from core.foundation.errors import UserError
from core.foundation.jobs import OnProgress

EVERY = 0.5
"""Seconds between two looks at one's place."""


class Queue:
    """Places for work; who comes when all are taken waits, in order."""

    def __init__(self, places: int, waiting: int, seconds: float) -> None:
        """Make an empty queue.

        Args:
            places: of work at once.
            waiting: visitors that may wait.
            seconds: that one waits at most.
        """
        self.places, self.waiting, self.seconds = places, waiting, seconds
        self._inside: list[object] = []  # the first `places` work, the others wait
        self._changed = threading.Condition()

    @contextmanager
    def place(self, on_progress: OnProgress) -> Iterator[None]:
        """Wait for a place, told where one stands, and have it for the time of the block.

        Args:
            on_progress: called while waiting; an exception from it leaves the queue.

        Raises:
            UserError: too many wait already, or it took too long.
        """
        mine, end = object(), time.monotonic() + self.seconds
        with self._changed:
            if len(self._inside) >= self.places + self.waiting:
                raise UserError(
                    f"expected at most {self.waiting:,} visitors to wait for this, but so "
                    "many do already: try again in a few minutes."
                )
            self._inside.append(mine)
        try:
            while (ahead := self._ahead(mine)) > 0:
                on_progress(0.0, f"Number {ahead:,} in the queue …")
                if time.monotonic() > end:
                    raise UserError(
                        f"expected a place within {self.seconds / 60:.0f} minutes, but others "
                        "were not done by then: try again later."
                    )
                with self._changed:
                    self._changed.wait(EVERY)
            yield
        finally:
            with self._changed:
                self._inside.remove(mine)
                self._changed.notify_all()

    def _ahead(self, mine: object) -> int:
        """Return one's number among those that wait; 0 or less for a place."""
        with self._changed:
            return self._inside.index(mine) - self.places + 1
