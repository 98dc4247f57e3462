"""The trainings of all visitors, kept by the server: a reload or a link finds them again."""

import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from core.foundation.jobs import OnProgress, Place, Stopped
from core.training.lesson import Lesson

KEPT = 2 * 3600.0
"""Seconds from its start for which a run is kept that no visitor has open …"""
MOST_KEPT = 64
"""… and how many such runs at most; the oldest are let go first."""
MOST_SECONDS = 300
"""Time limit of a training, from the moment that it has a place."""


class Run:
    """A training, and the visitors that have it open.

    Attributes:
        token: that finds it, and cannot be guessed.
        number: in its title.
        name: of the model that comes of it.
        training: in the background.
    """

    def __init__(
        self, token: str, number: int, lesson: Lesson, folder: Path, place: Place, visitor: object
    ) -> None:
        from core.hub.trainings import TrainingJob  # brings torch

        self.token, self.number = token, number
        self.name = f"trained-here-{number}-{token}"
        self.folder = folder
        self.began = time.monotonic()
        self._visitors = weakref.WeakSet([visitor])
        visitors = self._visitors  # the thread must not hold the run

        @contextmanager
        def wanted(on_progress: OnProgress) -> Iterator[None]:
            def waiting(fraction: float, message: str) -> None:
                if not visitors:
                    raise Stopped
                on_progress(fraction, message)

            with place(waiting):
                yield

        recipe = lesson.recipe(self.name, f"Trained here {number}: {lesson.title}")
        self.training = TrainingJob(recipe, folder / self.name, MOST_SECONDS, wanted)

    def open(self, visitor: object) -> None:
        """Take note of a visitor, for as long as there is a reference to it."""
        self._visitors.add(visitor)

    @property
    def in_use(self) -> bool:
        """Whether it runs, or some visitor has it open."""
        return self.training.running or bool(self._visitors)


class Runs:
    """Runs by their tokens: those in use, and the last ones that are not."""

    def __init__(self, kept: float = KEPT, most: int = MOST_KEPT) -> None:
        """Begin without any.

        Args:
            kept: seconds for which a run is kept that is not in use.
            most: such runs.
        """
        self._kept, self._most = kept, most
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="early-exit-explorer-"))
        self._finalizer = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def begin(self, lesson: Lesson, number: int, place: Place, visitor: object) -> Run:
        """Start a training, or wait for a place to start it in.

        A training that still waits when no visitor has it open leaves the queue.

        Args:
            lesson: to train.
            number: for its title.
            place: limits how many trainings run at once.
            visitor: who has it open.
        """
        token = secrets.token_hex(6)
        run = Run(token, number, lesson, self._folder / token, place, visitor)
        with self._lock:
            self._runs[token] = run
            self._let_go()
        return run

    def find(self, token: str, visitor: object) -> Run | None:
        """Return the run of a token, opened by a visitor; None where it is not kept any more."""
        with self._lock:
            self._let_go()
            run = self._runs.get(token)
            if run is not None:
                run.open(visitor)
            return run

    def _let_go(self) -> None:
        idle = [run for run in self._runs.values() if not run.in_use]
        now = time.monotonic()
        many = idle[: max(len(idle) - self._most, 0)]
        for run in {*many, *(one for one in idle if now - one.began > self._kept)}:
            del self._runs[run.token]
            shutil.rmtree(run.folder, ignore_errors=True)


@cache
def all_runs() -> Runs:
    """Return the runs of this server."""
    return Runs()
