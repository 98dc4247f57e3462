from core.exits.policy import Policy
from core.hub.registry import card_of


def test_a_policy_that_only_keeps_to_a_budget_is_nobodys_default() -> None:
    card = card_of("eenet8-mnist")
    budgets = tuple(point for point in card.operating_points if point.max_cost is not None)
    assert budgets
    assert card.default_point == card.operating_points[0]
    spends = card.model_copy(update={"operating_points": budgets})
    assert spends.default_point is None
    assert spends.default_policy == Policy.never("max_probability", card.num_exits)
