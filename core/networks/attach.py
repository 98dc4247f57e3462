"""Early exits on a network that somebody already trained elsewhere."""

import copy
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from core.foundation.errors import UserError
from core.networks.backbones.torchvision_trunks import check_family, cut
from core.networks.build import assemble
from core.networks.network import ExitNetwork
from core.networks.spec import NetworkSpec

SAME = 1e-4  # of the largest logit


def with_exits(module: nn.Module, *, image_size: int, **options: Any) -> ExitNetwork:
    """Put early exits with fresh heads on a torchvision network, keeping all of its weights.

    The final exit gives the module's own logits, at any image size that the module accepts; this
    is checked once, at ``image_size``.

    Args:
        module: a ResNet (ResNeXt, Wide ResNet), DenseNet or VGG of torchvision, possibly with
            some of its layers replaced. It is copied and stays as it is.
        image_size: height and width in pixels of the images that places and costs are meant for.
        options: where the exits stand and what they are made of, as in `NetworkSpec`: ``exits``,
            or ``placement`` and ``num_early``; ``head``, ``confidence`` and so on.

    Returns:
        The network, on the CPU, in float32 and eval mode.

    Raises:
        UserError: a module of another family, one that computes something else than its family,
            an image size it cannot take, or options that do not fit.
    """
    check_family(module)
    own = copy.deepcopy(module).cpu().float().eval()
    channels = next(m for m in own.modules() if isinstance(m, nn.Conv2d)).in_channels
    image = torch.randn(
        1, channels, image_size, image_size, generator=torch.Generator().manual_seed(0)
    )
    try:
        with torch.no_grad():
            expected = own(image)
    except RuntimeError as error:
        raise UserError(
            f"expected `image_size` to be one that the module accepts, but at {image_size} it "
            f"fails ({error}): choose larger images."
        ) from None
    trunk = cut(own)
    network = assemble(trunk, _spec(module, channels, expected.shape[1], image_size, options))
    network.eval()
    with torch.no_grad():
        logits = network(image).logits[:, -1]
    if not torch.allclose(logits, expected, rtol=SAME, atol=SAME * float(expected.abs().max())):
        raise UserError(
            f"expected `module` to compute what torchvision's does, but {type(module).__name__} "
            "has a forward method of its own: cut it into named blocks yourself "
            "(core.networks.trunk.Trunk) and give them to core.networks.network.ExitNetwork."
        )
    return network


def _spec(
    module: nn.Module, in_channels: int, num_classes: int, image_size: int, options: dict[str, Any]
) -> NetworkSpec:
    given = {
        "backbone": type(module).__name__,
        "num_classes": num_classes,
        "in_channels": in_channels,
        "image_size": image_size,
    }
    try:
        return NetworkSpec.model_validate(options | given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"the network's option `{field}` is not valid: {first['msg']}.") from None
