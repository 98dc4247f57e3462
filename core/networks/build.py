"""From a specification to a network."""

from itertools import accumulate

import torch

from core.foundation.errors import UserError
from core.networks.backbones import (  # noqa: F401  (they register their trunks)
    airbench,
    eenet8,
    resnet,
    torchvision_trunks,
    vgg,
)
from core.networks.cost import block_macs, head_macs
from core.networks.heads import Head
from core.networks.network import ExitNetwork, exit_indices
from core.networks.placement import place
from core.networks.spec import NetworkSpec
from core.networks.trunk import TRUNKS, Trunk


def _positions(
    trunk: Trunk, spec: NetworkSpec, last_shape: tuple[int, int, int]
) -> tuple[int, ...]:
    if spec.placement is None:
        return exit_indices(trunk, spec.exits)
    macs = block_macs(trunk, spec.in_channels, spec.image_size)
    with torch.device("meta"):  # only to be counted: it takes no time and draws no numbers
        final = trunk.final_head(last_shape, spec.num_classes)
    plain_macs = sum(macs) + head_macs(final, last_shape)
    costs = [total / plain_macs for total in accumulate(macs)]
    return place(spec.placement, spec.num_early, costs, trunk.exit_allowed)


def build(spec: NetworkSpec) -> ExitNetwork:
    """Build a network with fresh weights.

    Raises:
        UserError: unknown backbone, head, placement or block, or more exits than places.
    """
    return assemble(TRUNKS[spec.backbone](spec.in_channels), spec)


def assemble(trunk: Trunk, spec: NetworkSpec) -> ExitNetwork:
    """Put a specification's early exits, with fresh heads, on a trunk.

    Raises:
        UserError: as `build`.
    """
    try:
        shapes = trunk.output_shapes(spec.in_channels, spec.image_size)
    except RuntimeError:
        raise UserError(
            f"expected `image_size` to be large enough for the backbone {spec.backbone}, "
            f"but got {spec.image_size}: choose larger images or another backbone."
        ) from None
    exits = _positions(trunk, spec, shapes[-1])
    kinds = spec.heads or (spec.head,) * len(exits)
    if len(kinds) != len(exits):
        raise UserError(
            f"expected `heads` to name {len(exits)} kinds of head, one per early exit, "
            f"but got {len(kinds)}."
        )
    evidence = spec.evidence if spec.confidence else None
    heads = [
        Head(kind, shapes[i], spec.num_classes, evidence, spec.sigmoid)
        for kind, i in zip(kinds, exits, strict=True)
    ]
    return ExitNetwork(trunk, exits, heads, trunk.final_head(shapes[-1], spec.num_classes))


def named(spec: NetworkSpec, network: ExitNetwork) -> NetworkSpec:
    """Return the specification with the exits named instead of placed by a rule."""
    names = network.exit_names[:-1]
    return spec.model_copy(update={"exits": names, "placement": None, "num_early": 0})
