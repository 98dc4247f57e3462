"""Named things that register themselves: trunks, heads, criteria, losses, data sets."""

from collections.abc import Callable
from typing import TypeVar

from core.foundation.errors import UserError, nearest

T = TypeVar("T")


class Registry(dict[str, T]):
    """A mapping from name to thing, in order of registration.

    Everything that offers a choice (command line, app, parametrised tests) iterates over a
    registry, so a newly registered thing shows up everywhere. An unknown name is a `UserError`
    that suggests the nearest known one.
    """

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers what it decorates under ``name``.

        Raises:
            UserError: the name is taken.
        """

        def add(thing: T) -> T:
            if name in self:
                raise UserError(
                    f"expected a new name for a {self.what}, but {name!r} is registered already: "
                    "choose another one."
                )
            self[name] = thing
            return thing

        return add

    def __missing__(self, name: str) -> T:
        raise UserError(
            f"expected the name of a {self.what}, but got {name!r}."
            f"{nearest(str(name), self)} Known: {', '.join(self)}."
        )
