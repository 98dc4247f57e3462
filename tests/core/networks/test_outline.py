import pytest
import torch

from core.hub.registry import card_of, shipped_models
from core.networks.build import build_hollow
from core.networks.outline import outline


@pytest.mark.parametrize("name", shipped_models())
def test_the_outline_is_that_of_the_network(name: str) -> None:
    network = build_hollow(card_of(name).spec)
    stages = outline(network)
    assert tuple(block for stage in stages for block in stage.blocks) == network.trunk.names
    size = network.spec.image_size
    features = torch.zeros(1, network.spec.in_channels, size, size, device="meta")
    for index, stage in enumerate(stages):
        features = network.stage(index, features)
        assert stage.shape == features.shape[1:]


def test_a_hollow_network_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    build_hollow(card_of("eenet8-mnist").spec)  # others may be training from a seed meanwhile
    assert torch.equal(torch.get_rng_state(), before)
