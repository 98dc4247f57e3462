"""VGG with batch norm for small images (Simonyan & Zisserman, 2014)."""

from collections import OrderedDict
from functools import partial

from torch import nn

from core.networks.trunk import TRUNKS, Block, Trunk

CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""How many 3×3 convolutions stand before each of the five max pools."""


def vgg(in_channels: int, *, convolutions: tuple[int, ...], width: int = 64) -> Trunk:
    """Five stages of ``width`` to eight times that; the classifier is one layer after pooling.

    Exits are allowed after max pools only, where the published branches stand.
    """
    blocks = []
    for stage, (wider, count) in enumerate(zip((1, 2, 4, 8, 8), convolutions, strict=True), 1):
        channels = wider * width
        for number in range(1, count + 1):
            layers: OrderedDict[str, nn.Module] = OrderedDict(
                conv=nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
                norm=nn.BatchNorm2d(channels),
                relu=nn.ReLU(),
            )
            last = number == count
            if last:
                layers["pool"] = nn.MaxPool2d(2)
            blocks.append(Block(f"stage{stage}_{number}", nn.Sequential(layers), channels, last))
            in_channels = channels
    return Trunk(blocks)


for _name, _convolutions in CONVOLUTIONS.items():
    TRUNKS.register(_name)(partial(vgg, convolutions=_convolutions))
    TRUNKS.register(f"{_name}half")(partial(vgg, convolutions=_convolutions, width=32))
