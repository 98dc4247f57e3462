"""Trunks: backbones without their classifier, as a sequence of named blocks."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.foundation.registry import Registry
from core.networks.heads import Head


@dataclass(frozen=True)
class Block:
    """One block of a trunk and what placing an exit after it needs to know.

    Attributes:
        name: unique within the trunk, usable as a module name ("stage2_1").
        module: maps features (B, C, H, W) to features (B, channels, H', W').
        channels: channels of the output.
        exit_allowed: whether an early exit may follow this block.
    """

    name: str
    module: nn.Module
    channels: int
    exit_allowed: bool = True


FinalHead = Callable[[tuple[int, int, int], int], nn.Module]
"""Makes the head that ends a trunk of output shape (C, H, W), for so many classes K.

It maps features (B, C, H, W) to a `HeadOutput` without a confidence logit.
"""


def pooled(shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Make a final head that is one linear layer on each channel's global average."""
    return Head("pool", shape, num_classes)


class Trunk(nn.Module):
    """A backbone without its classifier, runnable block by block.

    The blocks are children under their own names, so that the weights' names do not depend on
    where exits are placed and a plain network's weights fit its early-exit version.
    """

    def __init__(
        self, blocks: Sequence[Block], final_head: FinalHead = pooled, initialise: bool = True
    ) -> None:
        """Put blocks in a row, with fresh convolutions unless ``initialise`` is false."""
        super().__init__()
        self.blocks = nn.Sequential(OrderedDict((block.name, block.module) for block in blocks))
        self.names = tuple(block.name for block in blocks)
        self.channels = tuple(block.channels for block in blocks)
        self.exit_allowed = tuple(block.exit_allowed for block in blocks)
        self.final_head = final_head
        if initialise:
            _initialise(self)

    def run(self, features: Tensor, start: int, stop: int) -> Tensor:
        """Run blocks ``start`` up to but without ``stop``: (B, C, H, W) to (B, C', H', W')."""
        for block in self.blocks[start:stop]:
            features = block(features)
        return features

    @torch.no_grad()
    def output_shapes(self, in_channels: int, image_size: int) -> list[tuple[int, int, int]]:
        """Return the (C, H, W) that each block puts out for a square image."""
        training = self.training
        self.eval()
        features = torch.zeros(1, in_channels, image_size, image_size)
        shapes = []
        for block in self.blocks:
            features = block(features)
            shapes.append((features.shape[1], features.shape[2], features.shape[3]))
        self.train(training)
        return shapes


TrunkBuilder = Callable[[int], Trunk]
"""Builds a trunk for images of so many channels."""

TRUNKS: Registry[TrunkBuilder] = Registry("backbone")


def _initialise(trunk: nn.Module) -> None:
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
