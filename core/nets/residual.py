"""The residual block, of which trunks and heads are made (He et al., 2015)."""

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck


def residual_block(
    kind: type[BasicBlock | Bottleneck], in_channels: int, width: int, stride: int
) -> BasicBlock | Bottleneck:
    """torchvision's residual block, (B, C, H, W) to (B, width × expansion, H/stride, W/stride)."""
    out_channels = width * kind.expansion
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    block = kind(in_channels, width, stride, shortcut)
    block.relu = nn.ReLU()  # torchvision's is in place, which breaks attribution
    # Starting each block as the identity trains better in few epochs (Goyal et al., 2017).
    last_norm = block.bn2 if isinstance(block, BasicBlock) else block.bn3
    nn.init.zeros_(last_norm.weight)
    return block
