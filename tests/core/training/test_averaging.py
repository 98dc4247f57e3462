from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from core.foundation.errors import UserError
from core.training.averaging import MeanWeights
from core.training.loop import Trainer
from tests.core.training.tiny import bars, tiny_recipe

CPU = torch.device("cpu")
PHASE = {"epochs": 2, "learning_rate": 0.1, "average": True}


def small(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))


def test_the_mean_is_that_of_all_weights_taken() -> None:
    networks, mean, images = (
        [small(seed) for seed in range(3)],
        MeanWeights(),
        torch.rand(8, 1, 6, 6),
    )
    expected = torch.stack([network[0].weight.detach().clone() for network in networks]).mean(dim=0)
    for network in networks:
        mean.take(network, [images])
    torch.testing.assert_close(networks[-1][0].weight.detach(), expected)
    assert mean.count == 3


def test_the_first_weights_stay_as_they_are() -> None:
    network, mean = small(0), MeanWeights()
    network(torch.rand(8, 1, 6, 6))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    mean.take(network, [])
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_batch_statistics_are_measured_on_the_mean() -> None:
    mean, images = MeanWeights(), torch.rand(64, 1, 6, 6)
    first, second = small(0), small(1)
    mean.take(first, [])
    mean.take(second, [images[:32], images[32:]])
    convolved = second[0](images).detach()
    torch.testing.assert_close(second[1].running_mean, convolved.mean(dim=(0, 2, 3)))
    assert second[1].momentum == first[1].momentum


def test_a_run_ends_with_the_mean_of_the_ends_of_its_phases() -> None:
    train, calibration = bars(64, 0), bars(32, 1)
    made = Trainer(tiny_recipe([PHASE, PHASE]), train, calibration, CPU)
    plain = {**PHASE, "average": False}
    other = Trainer(tiny_recipe([plain, plain]), train, calibration, CPU)
    ends = []
    for epoch in range(4):
        made.train_epoch()
        other.train_epoch()
        if epoch % 2:
            ends.append({name: p.detach().clone() for name, p in other.network.named_parameters()})
    for name, parameter in made.network.named_parameters():
        expected = (ends[0][name] + ends[1][name]) / 2
        torch.testing.assert_close(parameter.detach(), expected, msg=name)


def test_batch_statistics_see_a_sorted_data_set_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    train = bars(70, 0)
    dark_first = np.repeat(np.array([0, 255], np.uint8), 35)[:, None, None, None]
    sorted_set = replace(train, images=np.broadcast_to(dark_first, train.images.shape).copy())
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(
        MeanWeights, "take", lambda self, network, batches: seen.extend(batches), raising=True
    )
    Trainer(tiny_recipe([{**PHASE, "epochs": 1}]), sorted_set, bars(32, 1), CPU).train_epoch()
    assert [len(batch) for batch in seen] == [16] * 4  # as in training, none is left incomplete
    assert all(len(batch.unique()) > 1 for batch in seen)


def test_only_what_is_trained_is_averaged() -> None:
    with pytest.raises(UserError, match="`average` only where a phase trains everything"):
        tiny_recipe([{**PHASE, "trains": "exits"}])
