"""Interrupts that wait until what is under way is whole."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C and SIGTERM back until the end of the context; a second one comes at once.

    Other threads than the main one receive no signals, so nothing is held back there.

    Yields:
        What tells whether one is waiting.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    waiting: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if waiting:
            _deliver(number, usual[number])
        waiting.append(number)

    usual = {int(number): signal.getsignal(number) for number in _NUMBERS}
    for number in _NUMBERS:
        signal.signal(number, hold)
    try:
        yield lambda: bool(waiting)
    finally:
        for number in _NUMBERS:
            signal.signal(number, usual[number] or signal.SIG_DFL)
    if waiting:
        _deliver(waiting[0], usual[waiting[0]])


def _deliver(number: int, handler: object) -> None:
    if callable(handler):
        handler(number, None)
    elif handler != signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
