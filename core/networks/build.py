"""From a specification to a network."""

from itertools import accumulate

from core.foundation.errors import UserError
from core.networks.backbones import (  # noqa: F401  (they register)
    airbench,
    eenet8,
    efficientnet_lite,
    resnet,
    vgg,
)
from core.networks.constructors import FACTORY, TIMM, TORCHVISION, Factory, Weightless, make
from core.networks.cost import trunk_macs
from core.networks.cut import cut
from core.networks.heads import REST, Head, Reader, rest
from core.networks.layout import MAP
from core.networks.network import ExitNetwork, exit_indices
from core.networks.placement import place
from core.networks.randomness import OwnGenerator
from core.networks.spec import NetworkSpec
from core.networks.trunk import TRUNKS, Trunk, image_for


def build(spec: NetworkSpec, factory: Factory | None = None) -> ExitNetwork:
    """Build a network with fresh weights.

    Args:
        spec: what it is made of.
        factory: makes the module where the backbone is "factory".

    Raises:
        UserError: unknown backbone, head, placement or block, more exits than places, no factory
            or one that fails.
    """
    if not spec.backbone.startswith((TORCHVISION, TIMM, FACTORY)):
        return assemble(TRUNKS[spec.backbone](spec.in_channels), spec)
    module = make(spec, factory)
    example = image_for(module, spec.in_channels, spec.image_size)
    return assemble(cut(module, example, spec.num_classes)[0], spec)


def build_hollow(spec: NetworkSpec, factory: Factory | None = None) -> ExitNetwork:
    """Build a network for its shapes alone, on the device "meta" where its module lets it.

    PyTorch's generator of random numbers stays as it is.

    Raises:
        UserError: as `build`.
    """
    try:
        with Weightless():
            return build(spec, factory)
    except UserError:  # or a module that needs values to be made or run
        with OwnGenerator(0):
            return build(spec, factory)


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
    confidence = spec.confidence_input if spec.confidence else None
    heads = [
        Head(_reader(kind, trunk, i), shapes[i], spec.num_classes, confidence, spec.sigmoid)
        for kind, i in zip(kinds, exits, strict=True)
    ]
    final = trunk.final_head(shapes[-1], spec.num_classes)
    return ExitNetwork(trunk, exits, heads, final, spec)


def _reader(kind: str, trunk: Trunk, position: int) -> str | Reader:
    match = REST.fullmatch(kind)
    if match is None:
        return kind
    if any(layout != MAP for layout in trunk.layouts[position:]):
        raise UserError(
            f"expected a network of maps for a head {kind}, whose features can be pooled, but this "
            "one has tokens: choose another head."
        )
    return rest(int(match[1]), trunk.blocks[position + 1 :])


def _positions(
    trunk: Trunk, spec: NetworkSpec, last_shape: tuple[int, int, int]
) -> tuple[int, ...]:
    if spec.placement is None:
        return exit_indices(trunk, spec.exits)
    with Weightless():  # only to be counted
        final = trunk.final_head(last_shape, spec.num_classes)
    macs = trunk_macs(trunk, final, spec.in_channels, spec.image_size)
    costs = [total / sum(macs) for total in accumulate(macs[:-1])]
    return place(spec.placement, spec.num_early, costs, trunk.exit_allowed)
