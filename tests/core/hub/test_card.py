import json
from pathlib import Path

import pytest

from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.hub.card import Card
from core.hub.registry import card_of, shipped_models, tables_of


def test_a_policy_that_only_keeps_to_a_budget_is_nobodys_default() -> None:
    card = card_of("eenet8-mnist")
    budgets = tuple(point for point in card.operating_points if point.max_cost is not None)
    assert budgets
    assert card.default_point == card.operating_points[0]
    spends = card.model_copy(update={"operating_points": budgets})
    assert spends.default_point is None
    assert spends.default_policy == Policy.never("max_probability", card.num_exits)


@pytest.mark.parametrize("name", shipped_models())
def test_what_some_models_lack_no_shipped_one_does(name: str) -> None:
    card = card_of(name)
    assert card.training is not None
    assert card.command
    assert card.sha256
    assert set(card.per_exit_accuracy) == set(tables_of(name)) == {"calibration", "test"}
    assert (card.plain is None) == (card.num_exits == 1)
    for point in card.operating_points:
        assert point.calibration is not None
        assert point.test is not None
        assert (point.max_drop is None) != (point.max_cost is None)


def test_a_transform_normalises_as_its_card_says() -> None:
    card = card_of("eenet8-mnist")
    transform = card.evaluation_transform
    fields = card.model_dump() | {"transform": transform.model_dump()}
    assert Card.model_validate(fields).evaluation_transform == transform
    fields["mean"] = (0.5,)
    with pytest.raises(ValueError, match="another mean or std"):
        Card.model_validate(fields)


def test_a_card_of_before_there_were_promises_is_read(tmp_path: Path) -> None:
    card = card_of("eenet8-mnist").model_dump(mode="json")
    point = card["operating_points"][0]
    point["name"] = "careful"
    del point["promise"]
    for split in ("calibration", "test"):
        for name in ("accuracy_interval", "difference", "difference_interval"):
            del point[split][name]
    (tmp_path / "card.json").write_text(json.dumps(card))
    read = card_of(tmp_path)
    assert read.default_point is not None
    assert (read.default_point.name, read.default_point.promise) == ("careful", None)
    assert read.promised_point(0.02) == read.operating_points[2]
    assert read.promised_point(0.003) is None


def test_a_card_whose_policy_needs_a_plugin_says_so(tmp_path: Path) -> None:
    card = card_of("eenet8-mnist").model_dump(mode="json")
    card["operating_points"][0]["policy"]["criterion"] = "gini"
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=r"'gini'\. .* with `--plugin FILE\.py`"):
        card_of(tmp_path)
