"""Operating points: promises where calibration proves them, budgets where it cannot."""

import numpy as np

from core.hub.operating_points import BUDGETS, LARGER_BUDGETS, with_figures
from core.hub.premise import FEW
from core.hub.registry import card_of, tables_of

MODEL = "eenet20-cifar10"  # whose first exit costs more than the smaller budgets


def test_with_few_calibration_images_larger_budgets_stand_in() -> None:
    card, tables = card_of(MODEL), tables_of(MODEL)
    whole = with_figures(card, tables).operating_points
    few = tables["calibration"].select(np.arange(FEW - 1))
    points = with_figures(card, tables | {"calibration": few}).operating_points
    assert not {point.name for point in whole} & {*LARGER_BUDGETS, *BUDGETS}
    within = {point.name: point for point in points if point.max_cost is not None}
    assert within.keys() == {*LARGER_BUDGETS}
    for name, most in LARGER_BUDGETS.items():
        figures = within[name].calibration
        assert figures is not None
        assert figures.relative_cost <= most
        assert within[name].test is not None
