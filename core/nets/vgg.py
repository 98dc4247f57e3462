"""VGG with batch norm for small images (Simonyan & Zisserman, 2014)."""

from collections import OrderedDict
from functools import partial

from torch import nn

from core.nets.trunk import TRUNKS, Block, Trunk

CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""How many 3×3 convolutions stand before each of the five max pools."""


def vgg(in_channels: int, *, convolutions: tuple[int, ...]) -> Trunk:
    """Five stages of 64 to 512 channels; the classifier is one linear layer after pooling.

    Exits are allowed after max pools only, where the published branches stand.
    """
    blocks = []
    for stage, (width, count) in enumerate(
        zip((64, 128, 256, 512, 512), convolutions, strict=True), start=1
    ):
        for number in range(1, count + 1):
            layers: OrderedDict[str, nn.Module] = OrderedDict(
                conv=nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
                norm=nn.BatchNorm2d(width),
                relu=nn.ReLU(),
            )
            last = number == count
            if last:
                layers["pool"] = nn.MaxPool2d(2)
            blocks.append(Block(f"stage{stage}_{number}", nn.Sequential(layers), width, last))
            in_channels = width
    return Trunk(blocks)


for _name, _convolutions in CONVOLUTIONS.items():
    TRUNKS.register(_name)(partial(vgg, convolutions=_convolutions))
