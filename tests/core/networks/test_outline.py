import pytest
import torch

from core.hub.model import load
from core.hub.registry import card_of, shipped_models
from core.networks.outline import outline


@pytest.mark.parametrize("name", shipped_models())
def test_the_outline_is_that_of_the_network(name: str) -> None:
    model = load(name)
    stages = outline(model.card.spec)
    blocks = [block for stage in stages for block in stage.blocks]
    assert tuple(blocks) == model.network.trunk.names
    size = model.card.spec.image_size
    features = torch.zeros(1, model.card.spec.in_channels, size, size)
    for index, stage in enumerate(stages):
        features = model.network.stage(index, features)
        assert stage.shape == features.shape[1:]


def test_it_draws_no_random_numbers() -> None:
    spec = card_of("eenet8-mnist").spec
    before = torch.get_rng_state()
    outline(spec)  # others may be training from a seed meanwhile
    assert torch.equal(torch.get_rng_state(), before)
