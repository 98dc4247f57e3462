from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.prepared import ImageSet
from core.data.transform import EvaluationTransform
from core.exits.table import ExitTable
from core.exits.table_file import MOST_CLASSES_IN_FULL
from core.foundation.errors import UserError
from core.hub import operating_points as choosing
from core.hub import publish as publishing
from core.hub.publish import publish
from core.hub.registry import card_of, shipped_table
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
    monkeypatch.setattr(choosing, "operating_points", lambda *tables: seen.extend(tables[:2]) or ())
    publish(trained(recipe), tmp_path / "model", None)
    assert [table.top_classes is not None for table in seen] == [True, True]


def test_operating_points_keep_to_what_they_may_lose_and_spend() -> None:
    name = "eenet-airbench-large-cifar10"
    card = card_of(name)
    tables = shipped_table(name, "calibration"), shipped_table(name, "test")
    points = choosing.operating_points(*tables, card.plain)
    reference = card.reference_accuracy("calibration")
    for point in points:
        if point.max_drop is not None:
            assert point.calibration.accuracy >= reference - point.max_drop - 1e-9
        else:
            assert point.max_cost is not None
            assert point.calibration.relative_cost <= point.max_cost
    quarter, fifth = (point for point in points if point.max_cost is not None)
    assert (quarter.name, fifth.name) == ("quarter", "fifth")
    assert quarter.calibration.accuracy > fifth.calibration.accuracy
    for name, max_drop in choosing.OPERATING_POINTS.items():
        point = next((point for point in points if point.name == name), None)
        if point is not None and fifth.calibration.accuracy >= reference - max_drop:
            assert point.calibration.relative_cost <= fifth.calibration.relative_cost
