"""DenseNets for small images (Huang et al., 2017)."""

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from core.networks.trunk import TRUNKS, Block, Trunk


class DenseLayer(nn.Module):
    """Adds ``growth`` channels to what it is given: (B, C, H, W) to (B, C + growth, H, W)."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.new = nn.Sequential(
            OrderedDict(
                norm1=nn.BatchNorm2d(in_channels),
                relu1=nn.ReLU(),
                conv1=nn.Conv2d(in_channels, 4 * growth, 1, bias=False),
                norm2=nn.BatchNorm2d(4 * growth),
                relu2=nn.ReLU(),
                conv2=nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        """Put the new channels behind the old ones."""
        return torch.cat([features, self.new(features)], dim=1)


def densenet(in_channels: int, *, growth: int, layers: tuple[int, ...]) -> Trunk:
    """DenseNet-BC: bottleneck layers, transitions that halve channels and resolution, 3×3 stem.

    Exits are allowed after dense layers.
    """
    channels = 2 * growth
    stem = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    blocks = [Block("stem", stem, channels, exit_allowed=False)]
    for stage, count in enumerate(layers, start=1):
        for number in range(1, count + 1):
            layer = DenseLayer(channels, growth)
            channels += growth
            blocks.append(Block(f"dense{stage}_{number}", layer, channels))
        closing: OrderedDict[str, nn.Module] = OrderedDict(
            norm=nn.BatchNorm2d(channels), relu=nn.ReLU()
        )
        if stage < len(layers):
            closing["conv"] = nn.Conv2d(channels, channels // 2, 1, bias=False)
            closing["pool"] = nn.AvgPool2d(2)
            channels //= 2
        name = f"transition{stage}" if stage < len(layers) else "norm"
        blocks.append(Block(name, nn.Sequential(closing), channels, exit_allowed=False))
    return Trunk(blocks)


TRUNKS.register("densenet40")(partial(densenet, growth=12, layers=(6, 6, 6)))
TRUNKS.register("densenet100")(partial(densenet, growth=12, layers=(16, 16, 16)))
TRUNKS.register("densenet121")(partial(densenet, growth=32, layers=(6, 12, 24, 16)))
TRUNKS.register("densenet169")(partial(densenet, growth=32, layers=(6, 12, 32, 32)))
