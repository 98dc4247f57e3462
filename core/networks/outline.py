"""What a network looks like from outside: its blocks and the shapes between them."""

from dataclasses import dataclass

import torch

from core.networks.build import build
from core.networks.spec import NetworkSpec


@dataclass(frozen=True)
class StageOutline:
    """One stage of a network.

    Attributes:
        blocks: names of its blocks, in order.
        shape: (C, H, W) of what it hands to its head and to the next stage.
    """

    blocks: tuple[str, ...]
    shape: tuple[int, int, int]


def outline(spec: NetworkSpec) -> tuple[StageOutline, ...]:
    """Return the stages of a network (E), without weights and without computing anything.

    Raises:
        UserError: as `build`.
    """
    with torch.device("meta"):
        network = build(spec)
        shapes = network.trunk.output_shapes(spec.in_channels, spec.image_size)
    names = network.trunk.names
    return tuple(
        StageOutline(names[start:stop], shapes[stop - 1]) for start, stop in network.stage_ranges
    )
