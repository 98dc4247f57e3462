"""What trunks and heads are made of: residual blocks, units and pairs of units."""

from collections import OrderedDict

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """The basic block of He et al., 2015: (B, C, H, W) to (B, width, H/stride, W/stride).

    Named like torchvision's, whose import takes seconds and whose ReLU is in place, which breaks
    attribution.
    """

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        """Make a block that starts as the identity, or as its shortcut."""
        super().__init__()
        shortcut = None
        if stride != 1 or in_channels != width:
            shortcut = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut
        # Starting each block as the identity trains better in few epochs (Goyal et al., 2017).
        nn.init.zeros_(self.bn2.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Add to the features, or to their shortcut, what the convolutions make of them."""
        shortcut = features if self.downsample is None else self.downsample(features)
        inside = self.relu(self.bn1(self.conv1(features)))
        outside: Tensor = self.relu(self.bn2(self.conv2(inside)) + shortcut)
        return outside


def unit(in_channels: int, channels: int, *, stride: int = 1, pool: bool = False) -> nn.Sequential:
    """Make a 3×3 convolution with its norm and GELU, (B, C, H, W) to (B, channels, H', W').

    A ``stride`` of 2, or a 2×2 max ``pool`` after the convolution, halves the resolution; the
    latter sees four times as much, and costs that.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
    )
    if pool:
        layers["pool"] = nn.MaxPool2d(2)
    layers |= {"norm": nn.BatchNorm2d(channels), "act": nn.GELU()}
    return nn.Sequential(layers)


class ResidualPair(nn.Module):
    """Two units of the same width around which a shortcut leads: (B, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        """Make both units."""
        super().__init__()
        self.first = unit(channels, channels)
        self.second = unit(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Add to the features what the two units make of them."""
        seen: Tensor = self.second(self.first(features))
        return features + seen
