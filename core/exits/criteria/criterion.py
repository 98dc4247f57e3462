"""The type of a criterion, and the registry of all criteria."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.exits.table import BoolArray, ExitTable, FloatArray
from core.foundation.errors import UserError
from core.foundation.registry import Registry

Function = Callable[[ExitTable, int], FloatArray]


@dataclass(frozen=True)
class Criterion:
    """A named score in [0, 1], higher meaning safer to stop.

    ``function(table, i)`` gives the scores ``(N,)`` of exit ``i``. It is causal: it reads exits
    up to ``i`` and none of the later ones, so that inference can call it on a table that ends
    at exit ``i``.

    Attributes:
        needs_confidence: whether it reads the exits' confidence branches.
        history: whether it reads earlier exits, too. Exits that are off are not evaluated, so
            `scores` hides them from it.
        array_api: whether the functions are written against the array API, so that they read
            tensors on the network's device, too; others get copies in NumPy's arrays.
        ruled_out: ``(table, i)`` → ``(N, K)`` in [0, 1], for a criterion that excludes classes
            from exit to exit: at a threshold t, exit ``i`` excludes the classes with more than t,
            and the final exit answers the likeliest class that the last early exit left. None for
            other criteria.
    """

    name: str
    title: str
    description: str
    needs_confidence: bool
    history: bool
    array_api: bool
    ruled_out: Function | None
    function: Function

    def score(self, table: ExitTable, exit_index: int) -> FloatArray:
        """Return the scores ``(N,)`` of one exit of a table whose exits were all evaluated.

        Raises:
            UserError: the criterion needs a learned confidence, and the exit has none.
        """
        if self.needs_confidence and (
            table.confidence is None or exit_index >= table.confidence.shape[1]
        ):
            usable = ", ".join(available(table))
            raise UserError(
                f"expected a learned confidence at exit {exit_index} for the criterion "
                f"'{self.name}', but there is none; use one of: {usable}."
            )
        return self.function(table, exit_index)

    def scores(
        self, table: ExitTable, enabled: Sequence[bool] | BoolArray | None = None
    ) -> FloatArray:
        """Return the scores ``(N, E-1)`` of all early exits.

        Args:
            table: any.
            enabled: E-1 flags; a criterion with a history reads enabled exits only. None: all are
                on.
        """
        early = table.num_exits - 1
        scores = np.empty((len(table), early), np.float32)
        for exit_index in range(early):
            evaluated, position = table, exit_index
            if self.history and enabled is not None and not all(enabled[:exit_index]):
                before = np.flatnonzero(enabled[:exit_index])
                evaluated, position = table.select_exits([*before, exit_index]), len(before)
            scores[:, exit_index] = self.score(evaluated, position)
        return scores


CRITERIA: Registry[Criterion] = Registry("criterion", plugins=True)


def criterion(
    name: str,
    title: str,
    description: str,
    *,
    needs_confidence: bool = False,
    history: bool = False,
    array_api: bool = False,
    ruled_out: Function | None = None,
) -> Callable[[Function], Function]:
    """Register the decorated ``(table, exit_index) -> scores (N,)`` as a criterion."""
    facts = title, description, needs_confidence, history, array_api, ruled_out
    return CRITERIA.register_made(name, Criterion, *facts)


def available(table: ExitTable) -> tuple[str, ...]:
    """Return the names of the criteria that can be computed on ``table``."""
    return tuple(
        name
        for name, criterion in CRITERIA.items()
        if (table.confidence is not None or not criterion.needs_confidence)
        and (table.top_classes is None or criterion.ruled_out is None)
    )
