"""Where along a trunk the early exits stand."""

from collections.abc import Callable, Sequence

from core.foundation.errors import UserError
from core.foundation.registry import Registry

Placement = Callable[[int, int], float]
"""Maps exit t (0 … T−1) of T to the share of the plain network's cost it should come after."""

PLACEMENTS: Registry[Placement] = Registry("placement")
GOLDEN_RATIO = (1 + 5**0.5) / 2


@PLACEMENTS.register("fine")
def fine(exit_index: int, num_early: int) -> float:
    """Every further 5 % of what is left: 1 − 0.95^(t+1)."""
    return 1 - 0.95 ** (exit_index + 1)


@PLACEMENTS.register("pareto")
def pareto(exit_index: int, num_early: int) -> float:
    """Every further 20 % of what is left: 1 − 0.8^(t+1)."""
    return 1 - 0.8 ** (exit_index + 1)


@PLACEMENTS.register("linear")
def linear(exit_index: int, num_early: int) -> float:
    """At equal distances: (t+1) / (T+1)."""
    return (exit_index + 1) / (num_early + 1)


@PLACEMENTS.register("golden")
def golden(exit_index: int, num_early: int) -> float:
    """Each exit at the golden ratio times the one before: φ^(t−T)."""
    return GOLDEN_RATIO ** (exit_index - num_early)


def place(
    placement: str, num_early: int, cumulative_costs: Sequence[float], allowed: Sequence[bool]
) -> tuple[int, ...]:
    """Choose the blocks after which ``num_early`` early exits stand.

    An exit follows the first allowed block whose cumulative cost reaches the placement's share;
    where an earlier exit already stands there, the next allowed block. Where that would leave too
    few blocks for the exits to come, it stands as late as they let it.

    Args:
        placement: a registered placement.
        num_early: T, how many early exits.
        cumulative_costs: per block, cost up to and including it as a share of the plain network.
        allowed: per block, whether an exit may follow it. The last block never may: the final
            head stands there.

    Returns:
        The block indices, rising.

    Raises:
        UserError: the trunk has no places for so many exits.
    """
    share = PLACEMENTS[placement]
    free = [index for index in range(len(allowed) - 1) if allowed[index]]
    if not 0 <= num_early <= len(free):
        raise UserError(
            f"expected `num_early` to be from 0 to {len(free)}, the places this backbone has for "
            f"early exits, but got {num_early}: ask for fewer exits or a deeper backbone."
        )
    chosen: list[int] = []
    for exit_index in range(num_early):
        reach = share(exit_index, num_early)
        last = len(free) - num_early + exit_index
        possible = [i for i in free[: last + 1] if not chosen or i > chosen[-1]]
        reached = (i for i in possible if cumulative_costs[i] >= reach - 1e-9)
        chosen.append(next(reached, possible[-1]))
    return tuple(chosen)
