"""A compute budget that is held under drift, chosen on a calibration table."""

from core.exits.cost_controller import HALF_LIFE, HeldCost
from core.exits.table import ExitTable
from core.tuning.tune import tune


def hold_cost(
    table: ExitTable, max_cost: float, criterion: str | None = None, half_life: int = HALF_LIFE
) -> HeldCost:
    """Return the cost of the most accurate policy within ``max_cost``, to be held.

    ``hold_cost(…).start()`` gives a controller for `core.Model.predict`. It holds the compute, not
    the accuracy, see `core.exits.cost_controller`.

    Args:
        table: of the calibration split.
        max_cost: above 0, in units of the plain network.
        criterion: a name in `core.exits.criteria.CRITERIA`; None: the best that the table has.
        half_life: number of images after which a score counts half.

    Raises:
        UserError: as `core.tuning.tune.tune`, or a half-life below 1.
    """
    return HeldCost.of(table, tune(table, max_cost=max_cost, criterion=criterion), half_life)
