"""What a network looks like from outside: its blocks and the shapes between them."""

from dataclasses import dataclass

from core.networks.network import ExitNetwork


@dataclass(frozen=True)
class StageOutline:
    """One stage of a network.

    Attributes:
        blocks: names of its blocks, in order.
        shape: (C, H, W) of what its head reads.
    """

    blocks: tuple[str, ...]
    shape: tuple[int, int, int]


def outline(network: ExitNetwork) -> tuple[StageOutline, ...]:
    """Return the stages of a network (E)."""
    spec, trunk = network.spec, network.trunk
    shapes = trunk.output_shapes(spec.in_channels, spec.image_size)
    return tuple(
        StageOutline(trunk.names[start:stop], shapes[stop - 1])
        for start, stop in network.stage_ranges
    )
