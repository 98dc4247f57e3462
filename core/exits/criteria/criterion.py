"""What a criterion is, and the registry of all of them."""

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

    ``function(table, i)`` gives the scores ``(N,)`` of exit ``i``. It is causal: it reads the
    exits up to ``i`` and nothing of later ones, so live inference can call it on a table that
    holds the exits so far.

    Attributes:
        needs_confidence: whether it reads the exits' confidence branches.
        history: whether it reads earlier exits too. Exits that are off are never evaluated, so it
            must not see them; see `scores`.
        ruled_out: ``(table, i)`` → ``(N, K)`` in [0, 1], for a criterion that excludes classes on
            the way: at a threshold t, exit ``i`` excludes the classes with more than t, and the
            final exit answers the best class that the last early one left. None for all others.
    """

    name: str
    title: str
    description: str
    needs_confidence: bool
    history: bool
    ruled_out: Function | None
    function: Function

    def score(self, table: ExitTable, exit_index: int) -> FloatArray:
        """Return the scores ``(N,)`` of one exit of a table whose exits were all evaluated.

        Raises:
            UserError: the criterion needs a learned confidence that the exit has not.
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
            enabled: E-1 flags. A criterion with a history sees of the exits before an exit only
                the enabled ones. None: all are on.
        """
        early = table.num_exits - 1
        scores = np.empty((len(table), early), np.float32)
        for exit_index in range(early):
            evaluated, place = table, exit_index
            if self.history and enabled is not None and not all(enabled[:exit_index]):
                before = np.flatnonzero(enabled[:exit_index])
                evaluated, place = table.select_exits([*before, exit_index]), len(before)
            scores[:, exit_index] = self.score(evaluated, place)
        return scores


CRITERIA: Registry[Criterion] = Registry("criterion")


def criterion(
    name: str,
    title: str,
    description: str,
    *,
    needs_confidence: bool = False,
    history: bool = False,
    ruled_out: Function | None = None,
) -> Callable[[Function], Function]:
    """Register the decorated ``(table, exit_index) -> scores (N,)`` as a criterion."""

    def add(function: Function) -> Function:
        CRITERIA.register(name)(
            Criterion(name, title, description, needs_confidence, history, ruled_out, function)
        )
        return function

    return add


def available(table: ExitTable) -> tuple[str, ...]:
    """Return the names of the criteria that can be computed on ``table``."""
    return tuple(name for name, item in CRITERIA.items() if not _lacks(item, table))


def _lacks(item: Criterion, table: ExitTable) -> bool:
    cut = item.ruled_out is not None and table.top_classes is not None
    return cut or (item.needs_confidence and table.confidence is None)
