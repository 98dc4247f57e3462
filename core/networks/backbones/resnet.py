"""Residual networks (He et al., 2015): 6n+2 for small images, 18 to 152 for large ones."""

from collections import OrderedDict
from functools import partial

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from core.networks.residual import residual_block
from core.networks.trunk import TRUNKS, Block, Trunk


def _stages(
    kind: type[BasicBlock | Bottleneck],
    in_channels: int,
    widths: tuple[int, ...],
    depths: tuple[int, ...],
    strides: tuple[int, ...],
) -> list[Block]:
    blocks = []
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for number in range(1, depth + 1):
            stride = strides[stage - 1] if number == 1 else 1
            module = residual_block(kind, in_channels, width, stride)
            in_channels = width * kind.expansion
            blocks.append(Block(f"stage{stage}_{number}", module, in_channels))
    return blocks


def small_resnet(in_channels: int, *, depth: int) -> Trunk:
    """6n+2 layers: 3×3 stem, three stages of n basic blocks with 16, 32 and 64 channels."""
    n = (depth - 2) // 6
    stages = _stages(BasicBlock, 16, (16, 32, 64), (n, n, n), (1, 2, 2))
    stem = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, 16, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(16),
            relu=nn.ReLU(),
        )
    )
    return Trunk([Block("stem", stem, 16), *stages])


def large_resnet(
    in_channels: int, *, kind: type[BasicBlock | Bottleneck], depths: tuple[int, ...]
) -> Trunk:
    """ImageNet style: 7×7/2 stem and max pool, four stages with 64 to 512 (× 4) channels."""
    stem = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False),
            norm=nn.BatchNorm2d(64),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(3, 2, 1),
        )
    )
    stages = _stages(kind, 64, (64, 128, 256, 512), depths, (1, 2, 2, 2))
    return Trunk([Block("stem", stem, 64), *stages])


for _depth in (8, 14, 20, 32, 44, 56, 110):
    TRUNKS.register(f"resnet{_depth}")(partial(small_resnet, depth=_depth))

TRUNKS.register("resnet18")(partial(large_resnet, kind=BasicBlock, depths=(2, 2, 2, 2)))
TRUNKS.register("resnet34")(partial(large_resnet, kind=BasicBlock, depths=(3, 4, 6, 3)))
TRUNKS.register("resnet50")(partial(large_resnet, kind=Bottleneck, depths=(3, 4, 6, 3)))
TRUNKS.register("resnet101")(partial(large_resnet, kind=Bottleneck, depths=(3, 4, 23, 3)))
TRUNKS.register("resnet152")(partial(large_resnet, kind=Bottleneck, depths=(3, 8, 36, 3)))
