import copy
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from core.foundation.errors import UserError
from core.training import loop
from core.training.loop import Trainer
from tests.core.training.tiny import bars, same_weights, tiny_recipe

CPU = torch.device("cpu")
PHASE = {"epochs": 2, "learning_rate": 0.1, "average": True}


def test_a_run_ends_with_the_mean_of_the_ends_of_its_phases() -> None:
    train, calibration = bars(64, 0), bars(32, 1)
    made = Trainer.of_recipe(tiny_recipe([PHASE, PHASE]), train, calibration, CPU)
    plain = {**PHASE, "average": False}
    other = Trainer.of_recipe(tiny_recipe([plain, plain]), train, calibration, CPU)
    ends = []
    for epoch in range(4):
        made.train_epoch()
        other.train_epoch()
        if epoch == 1:  # the first weights stay as they are
            same_weights(made.network, other.network)
        if epoch % 2:
            ends.append({name: p.detach().clone() for name, p in other.network.named_parameters()})
    for name, parameter in made.network.named_parameters():
        expected = (ends[0][name] + ends[1][name]) / 2
        torch.testing.assert_close(parameter.detach(), expected, msg=name)


def test_batch_statistics_are_measured_on_the_mean_and_see_a_sorted_data_set_mixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = bars(70, 0)
    dark_first = np.repeat(np.array([0, 255], np.uint8), 35)[:, None, None, None]
    sorted_set = replace(train, images=np.broadcast_to(dark_first, train.images.shape).copy())
    seen: list[Tensor] = []

    def measure(batches: Iterable[Tensor], network: nn.Module) -> None:
        seen.extend(batches)
        update_bn(seen, network)

    monkeypatch.setattr(loop, "update_bn", measure)
    recipe = tiny_recipe([PHASE | {"epochs": 1}, PHASE | {"epochs": 1}])
    made = Trainer.of_recipe(recipe, sorted_set, bars(32, 1), CPU)
    list(made.epochs())
    assert [len(batch) for batch in seen] == [16] * 4  # as in training, none is left incomplete
    assert all(len(batch.unique()) > 1 for batch in seen)
    again = copy.deepcopy(made.network)
    update_bn(seen, again)
    same_weights(made.network, again)


def test_only_what_is_trained_is_averaged() -> None:
    with pytest.raises(UserError, match="`average` only where a phase trains everything"):
        tiny_recipe([{**PHASE, "trains": "exits"}])
