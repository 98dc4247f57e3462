from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data.prepared import ImageSet
from core.data.transform import EvaluationTransform
from core.exits.policy import Policy
from core.exits.table import ExitTable
from core.exits.table_file import MOST_CLASSES_IN_FULL
from core.foundation.errors import UserError
from core.hub import operating_points as choosing
from core.hub import publish as publishing
from core.hub.card import Card, OperatingPoint
from core.hub.methods import METHODS
from core.hub.publish import publish
from core.hub.registry import card_of, model_folder, plain_table, tables_of
from core.networks.build import build
from core.networks.network import ExitNetwork
from core.training.loop import TrainingResult
from core.training.recipe import Recipe
from tests.core.training.tiny import tiny_recipe


def trained(recipe: Recipe) -> ExitNetwork:
    network = build(recipe.network).eval()
    transform = EvaluationTransform.square(8, 1, (0.5,), (0.5,))
    network.training_result = TrainingResult(recipe, [], 0, 0.0, transform, True, 1, "an abacus")
    return network


def test_weights_that_are_not_numbers_are_not_published(tmp_path: Path) -> None:
    network = trained(tiny_recipe())
    with torch.no_grad():
        network.heads["block1"].softmax_branch.bias[0] = torch.nan  # type: ignore[index, union-attr]
    with pytest.raises(UserError, match=r"heads\.block1\.softmax_branch\.bias is not: train again"):
        publish(network, tmp_path / "model", None)
    assert not (tmp_path / "model").exists()


def test_policies_read_only_what_is_kept_of_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = MOST_CLASSES_IN_FULL + 5
    recipe = tiny_recipe()
    network = recipe.network.model_copy(update={"num_classes": classes})
    recipe = recipe.model_copy(update={"network": network})
    random = np.random.default_rng(0)

    def split(dataset: str, name: str, data: Path | None) -> ImageSet:
        images = random.integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)
        names = tuple(f"class {number}" for number in range(classes))
        return ImageSet.counted(dataset, name, images, np.arange(60) % classes, names)

    seen: list[ExitTable] = []
    monkeypatch.setattr(publishing, "load_split", split)

    def looked_at(card: Card, tables: dict[str, ExitTable], plains: object) -> tuple[()]:
        seen.extend(tables.values())
        return ()

    monkeypatch.setattr(choosing, "operating_points", looked_at)
    publish(trained(recipe), tmp_path / "model", None)
    assert [table.top_classes is not None for table in seen] == [True, True]


def written(points: Sequence[OperatingPoint]) -> list[dict[str, Any]]:
    return [point.model_dump(mode="json") for point in points]


def of_shipped(name: str, plain: bool = True) -> tuple[OperatingPoint, ...]:
    card, tables = card_of(name), tables_of(name)
    plains = {split: plain_table(card, split, table) for split, table in tables.items()}
    return choosing.operating_points(card, tables, plains if plain else dict.fromkeys(tables))


@pytest.mark.parametrize("name", ["eenet20-mnist", "exclusion8-mnist"])
def test_operating_points_promise_what_they_may_lose_and_keep_to_what_they_may_spend(
    name: str,
) -> None:
    card = card_of(name)
    points = of_shipped(name)
    assert written(points) == written(card.operating_points)
    promised = [point for point in points if point.promise is not None]
    assert len(promised) > 1
    for point in promised:
        assert choosing.OPERATING_POINTS[point.name] == point.max_drop
        assert point.promise.drop < point.promise.bound <= point.max_drop + 1e-4
        assert (point.promise.confidence, point.promise.against_plain) == (0.9, True)
        assert point.policy["criterion"] == METHODS[card.method].criterion
        low, high = point.test.difference_interval
        expected = point.test.accuracy - card.reference_accuracy("test")
        assert low < point.test.difference < high
        assert point.test.difference == pytest.approx(expected)
        assert point.calibration.difference is None  # its images chose the policy
    costs = [point.test.relative_cost for point in promised]
    assert costs == sorted(costs, reverse=True)
    for point in points:
        if point.max_cost is not None:
            assert choosing.BUDGETS[point.name] == point.max_cost
            assert point.calibration.relative_cost <= point.max_cost


def test_without_the_plain_networks_answers_losses_count_from_the_last_exit() -> None:
    points = of_shipped("jeidnn8-mnist", plain=False)
    promised = [point for point in points if point.promise is not None]
    assert promised
    assert not any(point.promise.against_plain for point in promised)
    assert all(point.test.difference is None for point in promised)
    assert all(point.test.accuracy_interval is not None for point in promised)


def test_the_plain_networks_table_is_found_by_name_or_folder_if_it_has_the_same_images() -> None:
    card, table = card_of("eenet8-mnist"), tables_of("eenet8-mnist")["test"]
    assert card.plain is not None
    assert plain_table(card, "test", table) is not None
    in_folder = card.plain.model_copy(update={"name": str(model_folder("resnet8-mnist"))})
    assert plain_table(card.model_copy(update={"plain": in_folder}), "test", table) is not None
    assert plain_table(card, "calibration", table) is None
    elsewhere = card.plain.model_copy(update={"name": "not-here"})
    assert plain_table(card.model_copy(update={"plain": elsewhere}), "test", table) is None
    assert plain_table(card.model_copy(update={"plain": None}), "test", table) is None


def test_figures_are_made_anew_from_the_tables_and_the_owners_policy_stays() -> None:
    card, tables = card_of("eenet8-mnist"), tables_of("eenet8-mnist")
    assert choosing.refigured(card, tables).model_dump(mode="json") == card.model_dump(mode="json")
    own = OperatingPoint(name=choosing.CHOSEN, policy=Policy("margin", (0.5, 0.5)).to_dict())
    old = card.model_copy(update={"operating_points": (own,), "per_exit_accuracy": {}})
    again = choosing.refigured(old, tables)
    assert again.default_policy == Policy("margin", (0.5, 0.5))
    assert again.default_point.test is not None
    assert written(again.operating_points[1:]) == written(card.operating_points)
    assert choosing.refigured(old, {}) == old
