import numpy as np
import pytest
import torch

from core.analysis.feature_maps import feature_maps
from core.hub.model import load
from core.hub.registry import card_of, shipped_models

SOME = ["eenet8-mnist", "ptee-vgg11half-cifar10", "resnet8-mnist"]


@pytest.mark.parametrize("name", SOME)
def test_every_stage_shows_some_of_its_channels_from_0_to_1(name: str) -> None:
    model, card = load(name), card_of(name)
    size = card.spec.image_size
    noise = torch.randn(1, card.spec.in_channels, size, size)
    found = feature_maps(model.network, noise, 5)
    assert len(found) == card.num_exits
    features = noise
    for index, maps in enumerate(found):
        features = model.network.stage(index, features)
        channels, *places = features.shape[1:]
        assert maps.shape == (min(channels, 5), *(places or (1, 1)))
        assert 0 <= maps.min() <= maps.max() <= 1


def test_maps_that_differ_from_place_to_place_come_first() -> None:
    name = next(name for name in shipped_models() if name.startswith("eenet"))
    model, card = load(name), card_of(name)
    size = card.spec.image_size
    image = torch.zeros(1, card.spec.in_channels, size, size)
    image[..., : size // 2] = 1
    every = feature_maps(model.network, image, 1000)[0]
    first = feature_maps(model.network, image, 1)[0]
    np.testing.assert_array_equal(first[0], every[0])
    assert every[0].min() == 0
    assert every[0].max() == 1
