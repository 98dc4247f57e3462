"""Figures of a policy on one split, with confidence intervals."""

import numpy as np

from core.exits.intervals import accuracy_interval, difference_interval
from core.exits.policy import Policy
from core.exits.routing import mean, route
from core.exits.table import ExitTable
from core.hub.card import SplitFigures
from core.tuning.promise import reference_right


def split_figures(
    table: ExitTable, policy: Policy, plain: ExitTable | None = None, *, chose: bool = False
) -> SplitFigures:
    """Return what a policy achieves on a labelled table.

    Args:
        table: of the split.
        policy: applied to it.
        plain: the plain network's table of the same images, if there is one.
        chose: whether the policy was chosen on these images. Then the accuracy is too good, and no
            interval is given.
    """
    routing = route(table, policy)
    labelled = table.labelled
    right, samples = routing.right[labelled], int(np.count_nonzero(labelled))
    figures = SplitFigures(
        accuracy=routing.accuracy(),
        relative_cost=mean(routing.costs),
        exit_share=tuple(
            mean(routing.exits == exit_index) for exit_index in range(table.num_exits)
        ),
    )
    if chose:
        return figures
    changes: dict[str, object] = {"accuracy_interval": accuracy_interval(int(right.sum()), samples)}
    if plain is not None:
        reference = reference_right(table, plain)[labelled]
        losses, gains = (
            int(np.count_nonzero(one)) for one in (reference & ~right, right & ~reference)
        )
        changes["difference"] = (gains - losses) / samples
        changes["difference_interval"] = difference_interval(losses, gains, samples)
    return figures.model_copy(update=changes)
