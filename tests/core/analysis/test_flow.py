from dataclasses import replace

import numpy as np
import pytest

from core.analysis.flow import flow
from core.exits.routing import route
from core.hub.registry import card_of, shipped_table


@pytest.mark.parametrize(("name", "most"), [("eenet20-cifar10", 10), ("eenet-lite0-photos", 8)])
def test_every_image_takes_one_way(name: str, most: int) -> None:
    table, card = shipped_table(name, "test"), card_of(name)
    routing = route(table, card.default_policy)
    found = flow(routing, most)
    assert found is not None
    assert found.counts.sum() == len(table)
    np.testing.assert_array_equal(
        found.counts.sum(axis=(0, 2)), np.bincount(routing.exits, minlength=card.num_exits)
    )
    assert found.counts[:, :, 1].sum() == routing.right.sum()
    alone = [label for label in found.labels.tolist() if label >= 0]
    assert len(alone) == min(most, len(card.classes))
    costs = [routing.costs[table.labels == label].mean() for label in alone]
    assert costs == sorted(costs)
    for label, counts in zip(found.labels.tolist(), found.counts, strict=True):
        if label >= 0:
            here = table.labels == label
            assert (
                counts[-1, 1] == (routing.right & (routing.exits == card.num_exits - 1))[here].sum()
            )


def test_nothing_without_labels() -> None:
    table = shipped_table("eenet8-mnist", "test").select(np.arange(5))
    unknown = replace(table, labels=np.full(5, -1))
    assert flow(route(unknown, card_of("eenet8-mnist").default_policy), 10) is None
