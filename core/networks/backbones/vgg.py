"""VGG with batch norm for small images (Simonyan & Zisserman, 2014)."""

from collections import OrderedDict

from torch import nn

from core.networks.trunk import TRUNKS, Block, Trunk


@TRUNKS.register("vgg11half")
def vgg11half(in_channels: int) -> Trunk:
    """VGG-11 of half its width: five stages of 32 to 256 channels, one linear layer after pooling.

    Exits are allowed after max pools only, where the published branches stand.
    """
    blocks = []
    for stage, (channels, count) in enumerate(
        zip((32, 64, 128, 256, 256), (1, 1, 2, 2, 2), strict=True), start=1
    ):
        for number in range(1, count + 1):
            layers: OrderedDict[str, nn.Module] = OrderedDict(
                conv=nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
                norm=nn.BatchNorm2d(channels),
                relu=nn.ReLU(),
            )
            last = number == count
            if last:
                layers["pool"] = nn.MaxPool2d(2)
            blocks.append(Block(f"stage{stage}_{number}", nn.Sequential(layers), last))
            in_channels = channels
    return Trunk(blocks)
