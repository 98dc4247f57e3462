"""Background jobs: a thread that reports its progress and can be stopped."""

import logging
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from core.foundation.errors import UserError

Stage = Literal["running", "finished", "failed", "stopped"]
OnProgress = Callable[[float, str], None]
"""Called with the completed fraction of the work, in [0, 1], and a sentence on the current step."""
Place = Callable[[OnProgress], AbstractContextManager[object]]
"""Waits for a place to work in, reporting on the wait, and holds it for the time of the block."""

Result = TypeVar("Result")
LAST_STEP = 10
"""Seconds that a program waits at its end for the step at which a job stops."""

_log = logging.getLogger(__name__)


class Stopped(BaseException):
    """The job was stopped. Not an `Exception`, so that no handler takes it for a failure."""


@dataclass
class _Shared(Generic[Result]):
    """State shared by the job and its thread; only the thread writes the first five fields."""

    fraction: float = 0.0
    message: str = ""
    stage: Stage = "running"
    result: Result | None = None
    mistake: str = ""

    stop: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class Job(Generic[Result]):
    """A function that runs in a thread; stopped when the last reference to the job goes."""

    def __init__(self, work: Callable[[OnProgress], Result], apology: str) -> None:
        """Start the thread.

        Args:
            work: gets an `OnProgress` and calls it often; that call raises `Stopped` when the job
                has been stopped.
            apology: message when ``work`` raises anything but a `UserError`, which is logged.
        """
        self._shared: _Shared[Result] = _Shared()
        # Native code that still runs while a program ends crashes it. Both are called then, the
        # later one first; the thread keeps what is shared until it ends.
        weakref.finalize(self._shared, self._shared.done.wait, LAST_STEP)
        self._finalizer = weakref.finalize(self, self._shared.stop.set)
        arguments = (work, apology, self._shared)
        threading.Thread(target=_run, args=arguments, daemon=True).start()

    @property
    def stage(self) -> Stage:
        """Whether the job is running, finished, failed or stopped."""
        return self._shared.stage

    @property
    def running(self) -> bool:
        """Whether the thread is still running."""
        return not self._shared.done.is_set()

    @property
    def fraction(self) -> float:
        """Completed fraction of the work, in [0, 1]."""
        return self._shared.fraction

    @property
    def message(self) -> str:
        """A sentence on the current step."""
        return self._shared.message

    @property
    def result(self) -> Result | None:
        """Return value of the work; None until it is finished."""
        return self._shared.result

    @property
    def mistake(self) -> str:
        """A sentence on what went wrong; empty unless the job failed."""
        return self._shared.mistake

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._shared.stop.is_set()

    def stop(self) -> None:
        """Stop the job; it will have no result."""
        self._shared.stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the thread to end, at most so many seconds; return whether it has ended."""
        return self._shared.done.wait(seconds)


def _run(work: Callable[[OnProgress], Result], apology: str, shared: _Shared[Result]) -> None:
    def on_progress(fraction: float, message: str) -> None:
        if shared.stop.is_set():
            raise Stopped
        shared.fraction, shared.message = min(max(fraction, 0.0), 1.0), message

    try:
        shared.result = work(on_progress)
        shared.stage = "finished"
    except Stopped:
        shared.stage = "stopped"
    except UserError as error:
        shared.mistake, shared.stage = str(error), "failed"
    except Exception:
        _log.exception("work in the background failed")
        shared.mistake, shared.stage = apology, "failed"
    finally:
        shared.done.set()
