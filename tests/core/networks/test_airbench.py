from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from core.networks.backbones.airbench import Whitening, airbench
from core.networks.build import build
from core.networks.cost import count
from core.networks.spec import NetworkSpec
from tests.core.networks.small import spec


def test_it_costs_what_its_layers_add_up_to() -> None:
    made = NetworkSpec(backbone="airbench-large", num_classes=10, in_channels=3, image_size=32)
    pixels = (31**2, *[15**2] * 2, *[7**2] * 5)
    widths = (24, 64, 64, 256, 256, 256, 384, 384, 384)
    layers = [9 * a * b * n for (a, b), n in zip(pairwise(widths), pixels, strict=True)]
    assert count(build(made), 3, 32).plain_macs == sum(layers) + 12 * 24 * 31**2 + 3840


def test_whitened_patches_are_uncorrelated_and_come_with_their_negatives() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(400, 3, 8, 8, generator=generator)
    images = 5 * F.avg_pool2d(images, 3, 1) + images[:, :1, 1:-1, 1:-1]  # neighbours are alike
    layer = Whitening(3)
    layer.fit(images)
    with torch.no_grad():
        seen = layer(images) - layer.bias[:, None, None]
    plus, minus = seen.transpose(0, 1).reshape(2, 12, -1)
    assert torch.allclose(plus, -minus, atol=1e-4)
    correlation = plus @ plus.T / plus.shape[1]
    assert torch.allclose(correlation, torch.eye(12), atol=0.02)


def test_whitening_filters_are_kept_but_not_trained() -> None:
    layer = Whitening(1)
    assert dict(layer.named_parameters()).keys() == {"bias"}
    assert layer.state_dict()["weight"].shape == (8, 1, 2, 2)


def test_convolutions_begin_by_passing_on_their_inputs() -> None:
    trunk = airbench(1, widths=(8, 12, 12))
    features = torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    same = trunk.blocks.group1_2.conv(features)
    assert torch.equal(same, features)
    wider = trunk.blocks.group2_1.conv(features)
    assert torch.allclose(wider[:, :8], features)
    assert wider[:, 8:].abs().max() > 0


@pytest.mark.parametrize("place", ["group1_1", "group2_2"])
def test_early_exits_fit_on_it(place: str) -> None:
    made = build(spec(backbone="airbench-large", exits=(place,), head="strided8"))
    assert made(torch.zeros(2, 1, 28, 28)).logits.shape == (2, 2, 10)
