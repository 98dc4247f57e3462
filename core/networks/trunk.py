"""Trunks: backbones without their classifier, as a sequence of named blocks."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.foundation.registry import Registry
from core.networks.heads import Head
from core.networks.layout import MAP, Layout


@dataclass(frozen=True)
class Block:
    """One block of a trunk and what placing an exit after it needs to know.

    Attributes:
        name: unique within the trunk ("stage2_1", "features.8").
        module: maps features to features, (B, C, H, W) if the layout is a map.
        exit_allowed: whether an early exit may follow this block.
        layout: of the features that it puts out.
        aliases: other names for the place after it.
    """

    name: str
    module: nn.Module
    exit_allowed: bool = True
    layout: Layout = MAP
    aliases: tuple[str, ...] = ()


def key(name: str) -> str:
    """Return the name of the child that a block's module or head is: without dots."""
    return name.replace(".", "/")


FinalHead = Callable[[tuple[int, int, int], int], nn.Module]
"""Makes the head that ends a trunk of output shape (C, H, W), for so many classes K.

It maps features, as the last block puts them out, to a `HeadOutput` without a confidence logit.
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
        self.blocks = nn.Sequential(
            OrderedDict((key(block.name), block.module) for block in blocks)
        )
        self.names = tuple(block.name for block in blocks)
        self.exit_allowed = tuple(block.exit_allowed for block in blocks)
        self.layouts = tuple(block.layout for block in blocks)
        self.aliases = {other: block.name for block in blocks for other in block.aliases}
        self.final_head = final_head
        if initialise:
            _initialise(self)

    def run(self, features: Tensor, start: int, stop: int) -> Tensor:
        """Run blocks ``start`` up to but without ``stop`` on the features before them."""
        for block in self.blocks[start:stop]:
            features = block(features)
        return features

    @torch.no_grad()
    def output_shapes(self, in_channels: int, image_size: int) -> list[tuple[int, int, int]]:
        """Return the (C, H, W) that a head after each block reads, for a square image."""
        training = self.training
        self.eval()
        features = image_for(self, in_channels, image_size)
        shapes = []
        for block, layout in zip(self.blocks, self.layouts, strict=True):
            features = block(features)
            channels, height, width = layout.to_map(features).shape[1:]
            shapes.append((channels, height, width))
        self.train(training)
        return shapes


def image_for(module: nn.Module, channels: int, size: int) -> Tensor:
    """Return a black square image (1, C, H, W) on a module's device."""
    device = next((tensor.device for tensor in module.parameters()), None)
    return torch.zeros(1, channels, size, size, device=device)


TrunkBuilder = Callable[[int], Trunk]
"""Builds a trunk for images of so many channels."""

TRUNKS: Registry[TrunkBuilder] = Registry("backbone", plugins=True)


def _initialise(trunk: nn.Module) -> None:
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
