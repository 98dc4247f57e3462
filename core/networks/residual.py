"""What trunks and heads are made of: residual blocks, units and pairs of units."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
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


class SamePad(nn.Module):
    """Zeros around features (B, C, H, W), as TensorFlow's "same" padding puts them.

    A convolution then puts out ⌈H / stride⌉ rows. Where the number of zeros is odd, the last row
    and column get one more than the first.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        """Take the kernel and stride of the convolution that follows."""
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, features: Tensor) -> Tensor:
        """Return the features with zeros around them."""
        rows, columns = (self._zeros(size) for size in features.shape[2:])
        return F.pad(features, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))

    def _zeros(self, size: int) -> int:
        out = -(-size // self.stride)
        return max((out - 1) * self.stride + self.kernel - size, 0)


class Depthwise(nn.Conv2d):
    """A convolution of each channel apart, (B, C, H, W) to the same C.

    What it learns is computed in float32 on a CPU, where the gradient of its weights takes several
    times as long in bfloat16.
    """

    def __init__(self, channels: int, kernel: int, stride: int, padding: int) -> None:
        """Make one without a bias."""
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve."""
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        if learns and features.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(features.float())
        return super().forward(features)


def thin(
    channels: int,
    width: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    depthwise: bool = False,
    act: bool = True,
) -> nn.Sequential:
    """Make a convolution with its norm and, if ``act``, ReLU6: (B, channels, …) to (B, width, …).

    EfficientNet's: few multiplications each, 1×1 or of each channel apart (``depthwise``).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if stride > 1:
        layers["pad"] = SamePad(kernel, stride)
    padding = 0 if stride > 1 else kernel // 2
    layers["conv"] = (
        Depthwise(channels, kernel, stride, padding)
        if depthwise
        else nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
    )
    layers["norm"] = nn.BatchNorm2d(width, 1e-3, momentum=0.01)
    if act:
        layers["act"] = nn.ReLU6()
    return nn.Sequential(layers)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, convolve each channel apart, project (arXiv 1801.04381)."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        """Make a block (B, channels, H, W) to (B, width, ⌈H / stride⌉, ⌈W / stride⌉)."""
        super().__init__()
        inside = channels * expansion
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if expansion > 1:
            layers["expand"] = thin(channels, inside)
        layers["depthwise"] = thin(inside, inside, kernel, stride, depthwise=True)
        layers["project"] = thin(inside, width, act=False)
        self.inside = nn.Sequential(layers)
        self.shortcut = stride == 1 and channels == width

    def forward(self, features: Tensor) -> Tensor:
        """Add to the features, where their shape stays, what the convolutions make of them."""
        made: Tensor = self.inside(features)
        return features + made if self.shortcut else made
