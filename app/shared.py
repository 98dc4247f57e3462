"""Results that all visitors share: computed once, by whoever needs them first, within a budget.

Values never change after they were computed (networks in eval mode, read-only arrays), so they are
handed out without a copy.
"""

import hashlib
import sys
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import streamlit as st
from cachetools import LRUCache, cached
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.exits.routing import Routing

BUDGET = 384 * 2**20
"""Bytes; the results that were not used for longest are dropped first."""

P = ParamSpec("P")
R = TypeVar("R")


class SharedResults:
    """Results of functions by their arguments, in one budget of bytes.

    While one thread computes a result, others that need the same one wait for it.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._cache: LRUCache[Any, Any] = LRUCache(budget, getsizeof=size_of)
        self._changed = threading.Condition()

    def __call__(
        self, spinner: str = "", version: Callable[[str], str] | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that shares a function's results.

        Args:
            spinner: shown to a visitor who has to wait; "" shows nothing.
            version: gives what tells apart the models that have the function's first argument as
                their name, now or another time.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            def key(*arguments: Any) -> tuple[Any, ...]:
                versions = () if version is None else (version(arguments[0]),)
                return (function.__qualname__, *versions, *map(_hashable, arguments))

            known: Callable[..., R] = cached(self._cache, key=key, condition=self._changed)(
                function
            )

            @wraps(function)
            def called(*arguments: P.args, **_: P.kwargs) -> R:
                if not spinner or not in_a_session() or self._has(key(*arguments)):
                    return known(*arguments)
                with st.spinner(spinner):
                    return known(*arguments)

            return called

        return decorate

    def _has(self, key: tuple[Any, ...]) -> bool:
        with self._changed:
            return key in self._cache

    def find(self, key: Hashable) -> Any:
        """Return what was kept under a key, or None."""
        with self._changed:
            return self._cache.get(key)

    def keep(self, key: Hashable, value: Any) -> None:
        """Share a result that was computed elsewhere, unless it is larger than the budget."""
        with self._changed, suppress(ValueError):
            self._cache[key] = value

    def clear(self) -> None:
        """Drop all results."""
        with self._changed:
            self._cache.clear()

    @property
    def bytes(self) -> int:
        """Size of all results."""
        return int(self._cache.currsize)


def in_a_session() -> bool:
    """Whether a visitor's script runs in this thread, rather than work in the background."""
    return get_script_run_ctx(suppress_warning=True) is not None


def _hashable(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        content = hashlib.blake2b(np.ascontiguousarray(argument).data, digest_size=16).digest()
        return argument.shape, argument.dtype.str, content
    return argument


def size_of(value: Any) -> int:
    """Return about how many bytes a value takes: arrays, networks, and what is made of them.

    The table that a routing refers to is a result itself, and counts there.
    """
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(size_of, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return sum(map(size_of, value))
    if hasattr(value, "state_dict"):
        return sum(tensor.nbytes for tensor in value.state_dict().values())
    if is_dataclass(value):
        skipped = "table" if isinstance(value, Routing) else ""
        return sum(size_of(one) for name, one in vars(value).items() if name != skipped)
    return sys.getsizeof(value)
