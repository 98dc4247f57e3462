"""EENet-8: the tiny residual network of the EENet paper (Demir & Akbas, arXiv 2409.05336)."""

from collections import OrderedDict
from functools import partial

from torch import nn

from core.networks.residual import ResidualBlock
from core.networks.trunk import TRUNKS, Block, Trunk


def eenet8(in_channels: int, *, filters: int) -> Trunk:
    """Eight layers: a 3×3/2 stem, three basic blocks of f, 2f and 4f channels, a classifier.

    All blocks work at the same resolution. Their cost then grows about fourfold from block to
    block, which gives the two exits the shares of compute that the published figures imply
    (0.07 and 0.26 of the whole).
    """
    stem = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, filters, 3, 2, 1, bias=False),
            norm=nn.BatchNorm2d(filters),
            relu=nn.ReLU(),
        )
    )
    blocks = [Block("stem", stem)]
    before = filters
    for number, width in enumerate((filters, 2 * filters, 4 * filters), start=1):
        blocks.append(Block(f"block{number}", ResidualBlock(before, width, 1)))
        before = width
    return Trunk(blocks)


TRUNKS.register("eenet8")(partial(eenet8, filters=4))
TRUNKS.register("eenet8-narrow")(partial(eenet8, filters=2))
