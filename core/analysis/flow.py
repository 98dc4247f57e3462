"""Ways through a network: how many images of each class leave where, rightly and wrongly."""

from dataclasses import dataclass

import numpy as np

from core.exits.routing import Routing
from core.exits.table import IntArray


@dataclass(frozen=True, eq=False)
class Flow:
    """Images from their class to their exit to their answer.

    Attributes:
        labels: (M,) classes, the one whose images leave earliest first; −1 stands for all others.
        counts: (M, E, 2) images of each that leave at an exit, wrongly and rightly.
    """

    labels: IntArray
    counts: IntArray


def flow(routing: Routing, most: int) -> Flow | None:
    """Return the ways of all labelled images; None without any.

    Args:
        routing: of them.
        most: classes that are shown one by one: if there are more, as many of those whose images
            leave earliest as of those whose images leave latest, by the mean cost.
    """
    known = routing.table.labelled
    if not known.any():
        return None
    labels, exits = routing.table.labels[known], routing.exits[known]
    shape = (routing.table.num_classes, routing.table.num_exits, 2)
    places = np.ravel_multi_index((labels, exits, routing.right[known].astype(np.int64)), shape)
    counts = np.bincount(places, minlength=int(np.prod(shape))).reshape(shape)
    images = counts.sum(axis=(1, 2))
    costs = np.bincount(labels, routing.costs[known], minlength=shape[0]) / np.maximum(images, 1)
    present = np.flatnonzero(images)
    ordered = present[costs[present].argsort(kind="stable")]
    if len(ordered) <= most:
        return Flow(ordered, counts[ordered])
    half = most // 2
    ends = np.concatenate([ordered[:half], ordered[-half:]])
    others = counts[ordered[half:-half]].sum(axis=0, keepdims=True)
    both = np.concatenate([counts[ends[:half]], others, counts[ends[half:]]])
    return Flow(np.concatenate([ends[:half], [-1], ends[half:]]), both)
