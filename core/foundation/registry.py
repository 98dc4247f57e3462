"""Named things that register themselves: trunks, heads, criteria, losses, data sets."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from core.foundation.errors import UserError, nearest

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """A mapping from name to thing, in order of registration.

    Everything that offers a choice (command line, app, parametrised tests) iterates over a
    registry, so a newly registered thing shows up everywhere. An unknown name is a `UserError`
    that suggests the nearest known one.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._things: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers what it decorates under ``name``."""

        def add(thing: T) -> T:
            if name in self._things:
                raise RuntimeError(f"the {self.what} {name!r} is registered twice")
            self._things[name] = thing
            return thing

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._things[name]
        except KeyError:
            known = ", ".join(self._things)
            raise UserError(
                f"expected the name of a {self.what}, but got {name!r}."
                f"{nearest(str(name), self._things)} Known: {known}."
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
