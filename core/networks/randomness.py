"""Random numbers of one's own: what is drawn in one thread does not depend on the others.

Layers draw their first weights and what they drop out from PyTorch's generator, of which a process
has one for all threads.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Item = TypeVar("Item")


class OwnGenerator(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A generator for whatever draws random numbers on the CPU while this is entered.

    It holds in the thread that enters it, for calls that name no generator themselves, and gives
    the same numbers as PyTorch's own after ``torch.manual_seed(seed)``. That one is neither read
    nor changed. It may be entered again and again, and goes on where it was left.
    """

    def __init__(self, seed: int) -> None:
        """Begin with a seed."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.generator = Generator().manual_seed(seed)
        self._process = os.getpid()
        self.drew = False
        """Whether anything was drawn so far."""

    def state(self) -> Tensor | None:
        """Return where it stands; None where nothing was drawn."""
        return self.generator.get_state() if self.drew else None

    def restore(self, state: Tensor) -> None:
        """Go on from where another stood."""
        self.generator.set_state(state)
        self.drew = True

    def at_step(self, step: int) -> AbstractContextManager[object]:
        """Return what to enter for one of many alike steps: nothing if the first drew nothing.

        While it is entered, every operation takes some microseconds longer.
        """
        return self if step == 0 or self.drew else nullcontext()

    def during(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, entered while each is made and not while it is used."""
        source = iter(items)
        while True:
            with self:
                try:
                    item = next(source)
                except StopIteration:
                    return
            yield item

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation; give it the generator if it draws and none was named."""
        named = dict(kwargs or {})
        draws = torch.Tag.nondeterministic_seeded in func.tags
        # A process that was forked meanwhile, to read images, has a seed of its own.
        if not draws or _elsewhere(args, named) or os.getpid() != self._process:
            return func(*args, **named)
        seeded = _with_generator(func)
        if seeded is None or named.get("generator") is not None:
            return func(*args, **named)
        self.drew = True
        return seeded(*args, **(named | {"generator": self.generator}))


def _elsewhere(args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    devices = [arg.device for arg in args if isinstance(arg, Tensor)]
    devices += [torch.device(named["device"])] if named.get("device") is not None else []
    return any(device.type != "cpu" for device in devices)


def _with_generator(func: Any) -> Any:
    """Return the overload of a drawing operation that takes a generator, or None."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    name: str = func._overloadname
    wanted = {"default": "generator", "low_dtype": "low_generator_dtype"}
    return getattr(func.overloadpacket, wanted.get(name, f"{name}_generator"), None)
