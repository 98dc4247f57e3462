"""Networks that learn small images in few epochs (airbench: Jordan, arXiv 2404.00498).

What makes them quick: the first layer is computed from the training images instead of learned
(`Whitening`), the other convolutions begin by passing on what they get, and most layers work at a
low resolution on many channels, where hardware is at its best.
"""

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from core.networks.heads import Head
from core.networks.residual import ResidualPair, unit
from core.networks.trunk import TRUNKS, Block, Trunk

PATCH = 2
EPSILON = 5e-4
CHUNK = 500
SAMPLES = 5000
"""As many images are enough to compute the whitening from."""


class Whitening(nn.Conv2d):
    """2×2 patches in a basis in which they are uncorrelated and of variance 1, and its negative.

    The filters are the eigenvectors of the patches' covariance, each divided by the root of its
    eigenvalue. They are not trained: only the biases are (§3.2 of the paper).
    """

    def __init__(self, in_channels: int, stride: int = 1) -> None:
        """Make filters (2·4·C, C, 2, 2), random until `fit` is called.

        With a ``stride`` of 2 the patches do not overlap: half the resolution, nothing lost.
        """
        super().__init__(in_channels, 2 * in_channels * PATCH**2, PATCH, stride)
        weight = self.weight.detach().clone()
        del self.weight
        self.register_buffer("weight", weight)

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Compute the filters from normalised images (B, C, H, W)."""
        size = self.weight[0].numel()
        total = torch.zeros(size, size, dtype=torch.float64, device=images.device)
        count = 0
        for chunk in torch.split(images, CHUNK):
            windows = chunk.double().unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (B, C, H', W', 2, 2)
            patches = windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, size)
            total += patches.T @ patches
            count += len(patches)
        values, vectors = torch.linalg.eigh(total / count)
        filters = (vectors / (values + EPSILON).sqrt()).T.flip(0)  # the largest first
        self.weight.copy_(torch.cat([filters, -filters]).view_as(self.weight))


def _final(shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    return Head("maxpool", shape, num_classes)


def airbench(
    in_channels: int,
    *,
    widths: tuple[int, int, int],
    depths: tuple[int, int, int] = (2, 2, 2),
    pools: tuple[bool, bool, bool] = (True, True, True),
    stride: int = 1,
) -> Trunk:
    """Three groups of convolutions behind a whitening of 2×2 patches.

    Args:
        in_channels: of the images.
        widths: channels of each group.
        depths: convolutions of each group: after the first, one more or two in a residual pair.
        pools: whether a 2×2 max pool follows the first convolution of a group.
        stride: of the whitening: 2 for images of 64×64 pixels.
    """
    whitening = Whitening(in_channels, stride)
    channels = whitening.out_channels
    stem = nn.Sequential(OrderedDict(whiten=whitening, act=nn.GELU()))
    blocks = [Block("stem", stem, exit_allowed=False)]
    groups = zip(widths, depths, pools, strict=True)
    for group, (width, depth, pool) in enumerate(groups, start=1):
        blocks.append(Block(f"group{group}_1", unit(channels, width, pool=pool)))
        rest = ResidualPair(width) if depth == 3 else unit(width, width)
        blocks.append(Block(f"group{group}_2", rest))
        channels = width
    trunk = Trunk(blocks, _final, initialise=False)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, Whitening):
            # Pass on the inputs in the first channels; the others are as PyTorch made them.
            nn.init.dirac_(module.weight.data[: module.in_channels])
    return trunk


# A first group as thin as the paper's (64, 256, 256) keeps an exit after it cheap. What comes later
# is deeper and stays at 7×7 pixels, where the same compute takes a quarter of the weights.
_large = partial(airbench, widths=(64, 256, 384), depths=(2, 3, 3), pools=(True, True, False))
TRUNKS.register("airbench-large")(_large)
TRUNKS.register("airbench-large-64")(partial(_large, stride=2))
TRUNKS.register("airbench-large-half-64")(partial(_large, widths=(32, 128, 192), stride=2))
