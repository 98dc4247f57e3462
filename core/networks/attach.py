"""Early exits on a network that somebody made elsewhere."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from core.foundation.errors import UserError
from core.networks.build import assemble
from core.networks.constructors import FACTORY, recognise
from core.networks.cut import CutPoint, answer, cut
from core.networks.network import ExitNetwork
from core.networks.placement import place
from core.networks.spec import NetworkSpec

EXITS = 3


def attach(
    module: nn.Module,
    example: Tensor,
    *,
    exits: Sequence[str] | int | None = None,
    placement: str = "linear",
    head: str = "pool",
    heads: Sequence[str] = (),
    confidence: bool = True,
    confidence_input: str = "both",
    sigmoid: bool = False,
    num_classes: int | None = None,
) -> ExitNetwork:
    """Put early exits with fresh heads on an image classifier, keeping its weights.

    The final exit gives the module's own logits, to the bit.

    Args:
        module: any classifier that torch.fx can trace and that answers with logits (B, K). It is
            copied and stays as it is.
        example: images (B, C, H, W) as the module takes them, B ≥ 1.
        exits: the places where early exits stand, see `cut_points`; or how many, placed by a
            rule. By default three.
        placement: the rule: linear, pareto, fine or golden.
        head: the kind of all early exits' heads, see `HEADS`, `reader` and `rest` in
            `core.networks.heads`.
        heads: the kind of each, where they differ.
        confidence: whether early exits have a confidence branch.
        confidence_input: what it reads, see `core.networks.confidence.CONFIDENCE_INPUTS`.
        sigmoid: whether early exits tell for each class if it is still possible.
        num_classes: K; where it is not the module's own, its classifier is replaced by a fresh
            one.

    Returns:
        The network, on the CPU, in float32 and eval mode. Its ``spec`` tells how to build it
        again: by the name of its constructor where it is one of torchvision's or timm's, else by
        a factory.

    Raises:
        UserError: a module that cannot be cut, an example that it does not take, exits that do
            not exist, or options that are not valid.
    """
    own, image = _copy(module, example)
    expected = answer(own, image)
    trunk, points = cut(own, image, num_classes)
    if num_classes not in (None, expected.shape[1]):
        expected = answer(own, image)
    if exits is None:
        exits = min(EXITS, len(points))
    if isinstance(exits, int):
        shares = [*(point.share for point in points), 1.0]
        chosen = place(placement, exits, shares, [True] * len(shares))
        exits = [points[index].name for index in chosen]
    spec = _spec(
        backbone=FACTORY,
        factory=f"{type(own).__module__}:{type(own).__qualname__}",
        num_classes=expected.shape[1],
        in_channels=image.shape[1],
        image_size=image.shape[2],
        exits=(exits,) if isinstance(exits, str) else tuple(exits),
        head=head,
        heads=tuple(heads),
        confidence=confidence,
        confidence_input=confidence_input,
        sigmoid=sigmoid,
    )
    backbone = recognise(own, spec)
    if backbone is not None:
        spec = spec.model_copy(update={"backbone": backbone, "factory": ""})
    network = assemble(trunk, spec).eval()
    logits = answer(lambda images: network(images).logits[:, -1], image)
    if not torch.allclose(logits, expected, rtol=0, atol=0, equal_nan=True):
        raise UserError(
            f"expected {type(module).__name__} to give the same logits when it is cut, but it "
            "does not: it draws random numbers, or changes in place what it reads again later."
        )
    return network


def cut_points(module: nn.Module, example: Tensor) -> tuple[CutPoint, ...]:
    """Return the places of an image classifier where early exits may stand, first to last.

    Args:
        module: any classifier that torch.fx can trace.
        example: images (B, C, H, W) as the module takes them, B ≥ 1.

    Raises:
        UserError: as `attach`.
    """
    return cut(*_copy(module, example))[1]


def _copy(module: nn.Module, example: Tensor) -> tuple[nn.Module, Tensor]:
    shape = tuple(getattr(example, "shape", ()))
    if not isinstance(example, Tensor) or len(shape) != 4 or not shape[0] or shape[2] != shape[3]:
        raise UserError(
            "expected `example` to be a tensor of square images (B, C, H, W), but got "
            f"{type(example).__name__} of shape {shape}: pass at least one image, as high as wide."
        )
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    if isinstance(module, nn.DataParallel | DistributedDataParallel):
        module = module.module
    if not isinstance(module, nn.Module):
        raise UserError(f"expected `module` to be an nn.Module, but got {type(module).__name__}.")
    own = copy.deepcopy(module).cpu().float().eval()
    return own, example[:1].detach().cpu().float()


def _spec(**values: Any) -> NetworkSpec:
    try:
        return NetworkSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"the network's option `{field}` is not valid: {first['msg']}.") from None
