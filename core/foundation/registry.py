"""Registries of named choices: trunks, heads, criteria, losses, data sets."""

from collections.abc import Callable
from typing import Any, TypeVar

from core.foundation.errors import UserError, nearest

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Registry(dict[str, T]):
    """A mapping from name to entry, in order of registration.

    Everything that offers a choice (command line, app, parametrised tests) iterates over a
    registry, so a new entry shows up everywhere. An unknown name is a `UserError` that suggests
    the nearest known one.

    Args:
        what: noun for an entry, in messages.
        plugins: whether the message on an unknown name suggests ``--plugin``.
    """

    def __init__(self, what: str, *, plugins: bool = False) -> None:
        super().__init__()
        self.what = what
        self.plugins = plugins

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers the decorated object under ``name``.

        Raises:
            UserError: the name is taken.
        """

        def add(entry: T) -> T:
            if name in self:
                raise UserError(
                    f"expected a new name for a {self.what}, but {name!r} is registered already: "
                    "choose another one."
                )
            self[name] = entry
            return entry

        return add

    def register_made(self, name: str, make: Callable[..., T], *facts: object) -> Callable[[F], F]:
        """Return a decorator that registers ``make(name, *facts, function)`` for its function."""

        def add(function: F) -> F:
            self.register(name)(make(name, *facts, function))
            return function

        return add

    def __missing__(self, name: str) -> T:
        plugin = f"; load a {self.what} of your own with `--plugin FILE.py`" if self.plugins else ""
        raise UserError(
            f"expected the name of a {self.what}, but got {name!r}."
            f"{nearest(str(name), self)} Known: {', '.join(self)}{plugin}."
        )
