"""Results that visitors share: computed once, within a budget of bytes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.shared import SharedResults, size_of
from core.analysis.drift import Drifted
from core.exits.policy import Policy
from core.exits.routing import route
from core.hub.model import load
from tests.core.exits.tables import random_table


def test_a_result_that_many_need_at_once_is_computed_once() -> None:
    calls: list[int] = []
    all_asked = threading.Event()

    @SharedResults()()
    def slow(number: int) -> int:
        calls.append(number)
        all_asked.wait(30)
        return 2 * number

    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(slow, 4) for _ in range(8)]
        assert not any(one.done() for one in waiting)
        all_asked.set()
        assert [one.result(30) for one in waiting] == [8] * 8
    assert calls == [4]


def test_results_are_told_apart_by_function_version_and_content_of_arrays() -> None:
    shared, calls, versions = SharedResults(), [], {"a": "1"}

    def total(name: str, array: np.ndarray) -> float:
        calls.append(name)
        return float(array.sum())

    def largest(name: str, array: np.ndarray) -> float:
        return float(array.max())

    shared_total = shared(version=versions.__getitem__)(total)
    shared_largest = shared(version=versions.__getitem__)(largest)
    assert shared_total("a", np.arange(3)) == 3
    assert shared_total("a", np.arange(3)) == 3
    assert shared_largest("a", np.arange(3)) == 2
    assert calls == ["a"]
    assert shared_total("a", np.arange(3, dtype=np.float32)) == 3
    assert shared_total("a", np.arange(4)) == 6
    assert len(calls) == 3
    versions["a"] = "2"
    shared_total("a", np.arange(3))
    assert len(calls) == 4


def test_the_oldest_results_make_room_for_new_ones() -> None:
    shared, calls = SharedResults(budget=10_000), []

    @shared()
    def zeros(number: int) -> np.ndarray:
        calls.append(number)
        return np.zeros(4000, np.uint8)

    for number in (1, 2, 1, 3, 1, 2):
        zeros(number)
        assert shared.bytes <= 10_000
    assert calls == [1, 2, 3, 2]
    shared.clear()
    assert shared.bytes == 0


def test_a_mistake_is_not_kept() -> None:
    answers = iter([ValueError("not yet"), 7])

    @SharedResults()()
    def answer() -> int:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    with pytest.raises(ValueError, match="not yet"):
        answer()
    assert answer() == 7


def test_sizes_count_arrays_and_networks() -> None:
    table = random_table(50, exits=3, classes=10)
    assert size_of(table) >= table.probabilities.nbytes
    assert size_of({"a": table, "b": table}) == 2 * size_of(table)
    model = load("eenet8-mnist")
    assert size_of(model) >= 4 * model.card.all_parameters


def test_what_was_computed_elsewhere_is_found_unless_it_is_too_large() -> None:
    shared = SharedResults(budget=10_000)
    assert shared.find("small") is None
    shared.keep("small", np.zeros(100))
    shared.keep("large", np.zeros(10_000))
    np.testing.assert_array_equal(shared.find("small"), np.zeros(100))
    assert shared.find("large") is None
    assert shared.bytes == 800


def test_tables_count_where_they_are_kept_and_not_again_in_what_refers_to_them() -> None:
    table = random_table(50, exits=3, classes=10)
    routing = route(table, Policy.never("margin", 3))
    assert size_of(routing) < table.probabilities.nbytes


def test_tables_that_belong_to_a_result_count() -> None:
    table = random_table(50, exits=3, classes=10)
    found = Drifted(table, None)
    assert size_of(found) >= table.probabilities.nbytes
