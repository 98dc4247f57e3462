"""Heavy work takes turns in the order in which it was asked for."""

import threading
from collections.abc import Callable

from app.turns import Turns


def started(
    turns: Turns, name: str, done: list[str], may_end: threading.Event, *, background: bool = False
) -> threading.Thread:
    """A thread that waits for its turn, once it stands in line."""

    def work() -> None:
        with turns.in_background() if background else turns():
            done.append(name)
            may_end.wait(30)

    thread = threading.Thread(target=work)
    before = len(turns._waiting)
    thread.start()
    until(lambda: len(turns._waiting) > before)
    return thread


def until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    while not condition():
        tick.wait(0.001)


def test_nobody_is_overtaken_not_even_by_who_had_the_last_turn() -> None:
    turns, done, may_end = Turns(1), [], threading.Event()
    may_end.set()
    with turns():
        others = [started(turns, name, done, may_end) for name in "abc"]
    with turns():  # asked for after the others
        done.append("again")
    for thread in others:
        thread.join(30)
    assert done == ["a", "b", "c", "again"]


def test_as_many_work_at_once_as_there_are_places() -> None:
    turns, done, may_end = Turns(2), [], threading.Event()
    with turns(), turns():
        third = started(turns, "third", done, may_end)
        assert done == []
    until(lambda: done == ["third"])
    with turns():  # the second place is free while the third still works
        may_end.set()
    third.join(30)


def test_work_in_the_background_leaves_a_place() -> None:
    turns, done, may_end = Turns(2), [], threading.Event()
    with turns.in_background():
        second = started(turns, "second", done, may_end, background=True)
        with turns():  # though it came later
            assert done == []
    until(lambda: done == ["second"])
    with turns():
        may_end.set()
    second.join(30)


def test_work_in_the_background_is_served_in_its_turn_where_there_is_one_place() -> None:
    turns, done, may_end = Turns(1), [], threading.Event()
    may_end.set()
    with turns():
        others = [started(turns, name, done, may_end, background=name == "b") for name in "abc"]
    for thread in others:
        thread.join(30)
    assert done == ["a", "b", "c"]


def test_a_failure_gives_its_place_back() -> None:
    turns = Turns(1)
    for _ in range(3):
        try:
            with turns():
                raise ValueError
        except ValueError:
            pass
