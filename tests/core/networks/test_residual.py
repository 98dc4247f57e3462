"""The residual block is torchvision's, without its ReLU in place and without its import."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from core.networks.residual import ResidualBlock


@pytest.mark.parametrize(("in_channels", "width", "stride"), [(8, 8, 1), (8, 16, 2), (8, 4, 1)])
def test_it_computes_and_names_its_weights_as_torchvision_does(
    in_channels: int, width: int, stride: int
) -> None:
    block = ResidualBlock(in_channels, width, stride)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    shortcut = None
    if stride != 1 or in_channels != width:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        )
    theirs = BasicBlock(in_channels, width, stride, shortcut)
    theirs.load_state_dict(block.state_dict())
    assert list(block.state_dict()) == list(theirs.state_dict())
    features = torch.randn(5, in_channels, 6, 6, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        assert torch.equal(block.train(mode)(features), theirs.train(mode)(features))


def test_a_fresh_block_is_the_identity_of_what_is_not_negative() -> None:
    features = torch.rand(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ResidualBlock(8, 8, 1)(features), features)
