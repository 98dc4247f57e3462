"""Policies are kept with what they were chosen for, and are not used for another network."""

import json
from pathlib import Path

import pytest

from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.foundation.files import read_json
from core.hub.figures import split_figures
from core.hub.receipt import LAST_EXIT, Goal, Receipt, policy_for
from core.hub.registry import card_of, plain_table, tables_of

MODEL = "eenet8-mnist"
CARD, TABLES = card_of(MODEL), tables_of(MODEL)
PLAINS = {split: plain_table(CARD, split, table) for split, table in TABLES.items()}


def receipt(goal: Goal, policy: Policy = CARD.default_policy, **more: float) -> Receipt:
    return Receipt.of(CARD, policy, goal, "", TABLES, PLAINS, **more)


def test_a_saved_receipt_is_a_policy_of_its_model(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    receipt(Goal("max_cost", 0.5)).save(path)
    assert policy_for(path, CARD) == Policy.load(path) == CARD.default_policy
    kept = read_json(path)["receipt"]
    assert kept["model"] == MODEL
    assert kept["sha256"] == CARD.sha256
    assert kept["goal"]["text"] == "spend at most 50 % of the compute of the plain network"
    test = split_figures(TABLES["test"], CARD.default_policy, PLAINS["test"])
    assert kept["figures"]["test"] == json.loads(json.dumps(test.model_dump()))


def test_another_networks_policy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    receipt(Goal("max_cost", 0.5)).save(path)
    with pytest.raises(UserError, match=rf"{MODEL} with weights .* remove `receipt`"):
        policy_for(path, card_of("branchy8-mnist"))
    path.write_text(json.dumps(CARD.default_policy.to_dict()))
    assert policy_for(path, card_of("branchy8-mnist")) == CARD.default_policy


@pytest.mark.parametrize("value", [None, 3, [], {"model": 4}, {"sha256": None}])
def test_a_strange_receipt_is_a_sentence_or_nothing(value: object, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(CARD.default_policy.to_dict() | {"receipt": value}))
    if isinstance(value, dict):
        with pytest.raises(UserError, match=r"weights (unknown|None)"):
            policy_for(path, CARD)
    else:
        assert policy_for(path, CARD) == CARD.default_policy


def test_a_goal_is_kept_or_not_by_images_that_chose_nothing() -> None:
    figures = split_figures(TABLES["test"], CARD.default_policy, PLAINS["test"])
    assert figures.difference is not None
    cost, lost = figures.relative_cost, -figures.difference
    assert receipt(Goal("max_cost", cost)).kept is True
    assert receipt(Goal("max_cost", cost - 1e-6)).kept is False
    assert receipt(Goal("max_drop", lost)).kept is True
    assert receipt(Goal("max_drop", lost - 1e-6)).kept is False
    assert receipt(Goal("max_drop", lost, LAST_EXIT)).kept is None
    assert receipt(Goal("min_accuracy", 0.9)).kept is None
    assert receipt(Goal("max_risk", 0.01, confidence=0.9, risk="Risk"), risk=0.02).kept is False


def test_the_text_has_the_figures_and_the_lines_that_use_them() -> None:
    text = receipt(Goal("max_drop", 0.005, confidence=0.9)).to_markdown()
    for part in (
        "lose at most 0.5 percentage points of accuracy against the plain network, proven with",
        "nothing: new images may do worse",
        f"python -m core export {MODEL} --policy {MODEL}-policy.json",
        CARD.sha256,
    ):
        assert part in text
