"""Residual networks of 6n+2 layers for small images (He et al., 2015)."""

from collections import OrderedDict
from functools import partial

from torch import nn

from core.networks.residual import ResidualBlock
from core.networks.trunk import TRUNKS, Block, Trunk


def resnet(in_channels: int, *, depth: int) -> Trunk:
    """6n+2 layers: 3×3 stem, three stages of n basic blocks with 16, 32 and 64 channels."""
    stem = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, 16, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(16),
            relu=nn.ReLU(),
        )
    )
    blocks = [Block("stem", stem)]
    before = 16
    for stage, width in enumerate((16, 32, 64), start=1):
        for number in range(1, (depth - 2) // 6 + 1):
            stride = 2 if stage > 1 and number == 1 else 1
            block = ResidualBlock(before, width, stride)
            blocks.append(Block(f"stage{stage}_{number}", block))
            before = width
    return Trunk(blocks)


for _depth in (8, 14, 20, 32, 44, 56, 110):
    TRUNKS.register(f"resnet{_depth}")(partial(resnet, depth=_depth))
