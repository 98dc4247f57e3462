"""Folded networks compute the same in fewer steps."""

import pytest
import torch
from torch import Tensor, nn

from core.hub.model import load
from core.hub.registry import shipped_models
from core.networks.build import build
from core.networks.folding import folded
from core.networks.network import ExitNetwork
from core.networks.spec import NetworkSpec
from core.networks.trunk import Block, Trunk
from tests.core.networks.small import network


def norms(module: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in module.modules())


def with_statistics(made: ExitNetwork) -> ExitNetwork:
    """The network with norms that do something."""
    draw = torch.Generator().manual_seed(1)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.weight.data, layer.bias.data):
                tensor.normal_(0, 0.5, generator=draw)
            layer.running_var.uniform_(0.3, 2, generator=draw)
    return made.eval()


def images(made: ExitNetwork, count: int = 5) -> Tensor:
    spec = made.spec
    shape = (count, spec.in_channels, spec.image_size, spec.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", shipped_models()[::6])
def test_shipped_networks_lose_all_their_norms_and_answer_the_same(name: str) -> None:
    made = load(name).network
    seen = images(made)
    with torch.inference_mode():
        expected, got = made(seen), folded(made)(seen)
    assert norms(folded(made)) < norms(made)
    torch.testing.assert_close(got.logits, expected.logits, atol=1e-4, rtol=1e-4)
    assert norms(made) > 0  # the network itself is left as it is


@pytest.mark.parametrize("backbone", ["torchvision-mobilenet_v3_small", "torchvision-densenet121"])
def test_networks_from_elsewhere_keep_the_norms_that_stand_alone(backbone: str) -> None:
    spec = NetworkSpec(backbone=backbone, in_channels=3, image_size=32, num_classes=7)
    made = with_statistics(build(spec))
    seen = images(made)
    with torch.inference_mode():
        expected, got = made(seen).logits, folded(made)(seen).logits
    torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)
    assert norms(folded(made)) < norms(made)


class Awkward(nn.Module):
    """A convolution that is read twice, one that runs twice, and one whose norm stands alone."""

    def __init__(self) -> None:
        super().__init__()
        self.read_twice, self.norm1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.runs_twice, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.far, self.norm3 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, features: Tensor) -> Tensor:
        once = self.read_twice(features)
        features = self.norm1(once) + once
        features = self.norm2(self.runs_twice(self.runs_twice(features)))
        return self.norm3(self.far(features).relu())


def test_what_a_fold_would_change_is_left_alone() -> None:
    trunk = Trunk([Block("stem", nn.Conv2d(1, 4, 3)), Block("awkward", Awkward())])
    small = network(exits=())
    made = with_statistics(
        ExitNetwork(trunk, (), (), trunk.final_head((4, 26, 26), 10), small.spec)
    )
    seen = images(made)
    with torch.inference_mode():
        expected, got = made(seen).logits, folded(made)(seen).logits
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    assert norms(folded(made)) == 3
