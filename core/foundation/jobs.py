"""Work in the background: a thread of its own, how far it is, and a way to stop it."""

import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from core.foundation.errors import UserError

Stage = Literal["running", "finished", "failed", "stopped"]
Tell = Callable[[float, str], None]
"""Called with how far the work is, in [0, 1], and a sentence on it."""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class Stopped(BaseException):
    """Work was stopped. Not an `Exception`, so that nobody takes it for a failure."""


@dataclass
class _Shared(Generic[Result]):
    """What the thread and those who watch it share; the thread alone writes the upper half."""

    fraction: float = 0.0
    message: str = ""
    stage: Stage = "running"
    result: Result | None = None
    mistake: str = ""

    stop: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class Job(Generic[Result]):
    """One piece of work in a thread. When nobody holds it any more, it is stopped."""

    def __init__(
        self,
        work: Callable[[Tell], Result],
        apology: str,
        places: threading.Semaphore | None = None,
    ) -> None:
        """Begin.

        Args:
            work: gets a `Tell` and calls it often; the call raises `Stopped` once it is stopped.
            apology: a sentence for a fault of ours; the log has the rest.
            places: how many jobs like this one may run at once.

        Raises:
            UserError: all places are taken.
        """
        if places is not None and not places.acquire(blocking=False):
            raise UserError(
                "expected a free place on this machine, but as many others as it can take are at "
                "work right now: try again in a minute or two."
            )
        self._shared: _Shared[Result] = _Shared()
        self._finalizer = weakref.finalize(self, self._shared.stop.set)
        arguments = (work, apology, places, self._shared)
        threading.Thread(target=_run, args=arguments, daemon=True).start()

    @property
    def stage(self) -> Stage:
        """Whether it is running, finished, failed or stopped."""
        return self._shared.stage

    @property
    def running(self) -> bool:
        """Whether its thread is still at work."""
        return not self._shared.done.is_set()

    @property
    def fraction(self) -> float:
        """How far it is, in [0, 1]."""
        return self._shared.fraction

    @property
    def message(self) -> str:
        """A sentence on what it is doing."""
        return self._shared.message

    @property
    def result(self) -> Result | None:
        """What came of it, once it is finished."""
        return self._shared.result

    @property
    def mistake(self) -> str:
        """A sentence on what went wrong, if it failed."""
        return self._shared.mistake

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._shared.stop.is_set()

    def stop(self) -> None:
        """Stop it; nothing comes of it."""
        self._shared.stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it is done, but no longer than this; tell whether it is."""
        return self._shared.done.wait(seconds)


def _run(
    work: Callable[[Tell], Result],
    apology: str,
    places: threading.Semaphore | None,
    shared: _Shared[Result],
) -> None:
    def tell(fraction: float, message: str) -> None:
        if shared.stop.is_set():
            raise Stopped
        shared.fraction, shared.message = min(max(fraction, 0.0), 1.0), message

    try:
        shared.result = work(tell)
        shared.stage = "finished"
    except Stopped:
        shared.stage = "stopped"
    except UserError as error:
        shared.mistake, shared.stage = str(error), "failed"
    except Exception:
        _log.exception("work in the background failed")
        shared.mistake, shared.stage = apology, "failed"
    finally:
        if places is not None:
            places.release()
        shared.done.set()
