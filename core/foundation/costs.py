"""Relative costs: compute of the parts of a network, in units of the plain network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.foundation.errors import UserError

CostArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Costs:
    """Relative costs of a network's E stages and E heads.

    Multiply-accumulates (MACs) divided by those of the plain network, which is the trunk with its
    classifier and no early exits; so ``stages.sum() + heads[-1] == 1``. While a network is still
    running its costs may be those of the exits so far, which do not add up to 1.

    Args:
        stages: ``(E,)`` cost of each stage.
        heads: ``(E,)`` cost of each head, the last being the plain network's classifier.

    Raises:
        UserError: not two lists of E numbers that are finite and at least 0.
    """

    stages: CostArray
    heads: CostArray

    def __post_init__(self) -> None:
        for name in ("stages", "heads"):
            try:
                array = np.array(getattr(self, name), dtype=np.float64)
            except (ValueError, TypeError):
                array = np.array(np.nan)
            if array.ndim != 1 or not (np.isfinite(array) & (array >= 0)).all():
                raise UserError(
                    f"expected the costs of `{name}` to be numbers of at least 0 and finite, one "
                    f"per exit, but got {getattr(self, name)!r}."
                )
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if len(self.stages) != len(self.heads):
            raise UserError(
                f"expected costs of as many `heads` as `stages`, but got {len(self.heads)} and "
                f"{len(self.stages)}."
            )

    @classmethod
    def of_macs(cls, stages: Sequence[int], heads: Sequence[int]) -> "Costs":
        """Return the costs of stages and heads of so many MACs."""
        plain = sum(stages) + heads[-1]
        return cls(np.array(stages) / plain, np.array(heads) / plain)

    def __len__(self) -> int:
        return len(self.stages)

    def at_exits(self, enabled: Sequence[bool] | NDArray[np.bool_] | None = None) -> CostArray:
        """Return the cost ``(E,)`` of leaving at each exit.

        The stages so far, every *enabled* early head so far, and at the end the final head. A
        disabled head is not computed and costs nothing.

        Args:
            enabled: E-1 flags; None: all early exits are on.

        Raises:
            UserError: another number of flags.
        """
        heads = self.heads.copy()
        if enabled is not None:
            if len(enabled) != len(heads) - 1:
                raise UserError(
                    f"expected {len(heads) - 1} flags in `enabled`, one per early exit, but got "
                    f"{len(enabled)}."
                )
            heads[:-1] *= enabled
        return np.cumsum(self.stages + heads)

    def alone(self) -> CostArray:
        """Return the cost ``(E,)`` of E networks that end at each exit and have no other head."""
        return np.cumsum(self.stages) + self.heads

    def select(self, exits: Sequence[int] | NDArray[Any]) -> "Costs":
        """Return the costs of the network with just these exits, given in order.

        Stages in between belong to the exit that follows them.
        """
        index = np.asarray(exits, np.int64)
        reached = np.cumsum(self.stages)[index]
        return Costs(np.diff(reached, prepend=0.0), self.heads[index])


def saved(relative_cost: float) -> float:
    """Return the share of the plain network's compute that was saved; below 0 for a dearer run."""
    return 1 - relative_cost
