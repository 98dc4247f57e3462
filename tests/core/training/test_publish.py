from pathlib import Path

import pytest
import torch

from core.errors import UserError
from core.nets.build import build
from core.training.loop import TrainingResult
from core.training.publish import publish
from tests.core.training.recipes import tiny_recipe


def test_weights_that_are_not_numbers_are_not_published(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    network = build(recipe.network).eval()
    with torch.no_grad():
        network.heads["block1"].softmax_branch.bias[0] = torch.nan  # type: ignore[index, union-attr]
    result = TrainingResult(network, [], 0, 0.0, (0.5,), (0.5,), bfloat16=True, workers=1)
    with pytest.raises(UserError, match=r"heads\.block1\.softmax_branch\.bias is not: train again"):
        publish(recipe, result, tmp_path / "model", None)
    assert not (tmp_path / "model").exists()
