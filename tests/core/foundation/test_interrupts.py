import os
import signal
import threading
from collections.abc import Iterator

import pytest

from core.foundation.interrupts import held_back


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """As in a terminal: a job in the background ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_end_and_comes_then() -> None:
    done: list[object] = []

    def work() -> None:
        with held_back() as waiting:
            done.append(waiting())
            os.kill(os.getpid(), signal.SIGINT)
            done.append(waiting())

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [False, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_comes_at_once() -> None:
    done: list[object] = []

    def work() -> None:
        with held_back():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the second one waited, too")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not done


def test_a_handler_of_the_programs_own_is_called_and_kept() -> None:
    came: list[int] = []

    def own(number: int, frame: object) -> None:
        came.append(number)

    before = signal.signal(signal.SIGTERM, own)
    try:
        with held_back() as waiting:
            os.kill(os.getpid(), signal.SIGTERM)
            assert waiting()
            assert came == []
        assert came == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_other_threads_nothing_is_held_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with held_back() as waiting:
            seen.extend((waiting(), signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, True]
