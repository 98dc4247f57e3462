"""Small networks for tests, with fresh weights but statistics as after some training; images."""

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.samples import load_samples, sample_names
from core.hub.card import Card
from core.networks.build import build
from core.networks.constructors import Weightless
from core.networks.network import ExitNetwork
from core.networks.spec import NetworkSpec


def spec(**changes: object) -> NetworkSpec:
    values: dict[str, object] = {
        "backbone": "eenet8",
        "exits": ("block1", "block2"),
        "head": "pool",
        "num_classes": 10,
        "in_channels": 1,
        "image_size": 28,
    }
    return NetworkSpec.model_validate(values | changes)


def lively(network: ExitNetwork, seed: int = 0) -> ExitNetwork:
    """Give a fresh network opinions: random norms and heads, so that exits differ per sample."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif "bn" in name and name.endswith("weight"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith("branch.weight"):
                tensor.normal_(0, 1, generator=generator)
    return network.eval()


def network(seed: int = 0, **changes: object) -> ExitNetwork:
    torch.manual_seed(seed)
    return lively(build(spec(**changes)), seed)


def noise(count: int, size: int = 28, channels: int = 1, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), np.uint8)


def images_for(card: Card) -> NDArray[np.uint8]:
    """The samples that ship for a model, or CIFAR-10's, enlarged, where none do."""
    if card.dataset in sample_names():
        return load_samples(card.dataset, transform=card.evaluation_transform).images
    images = load_samples("cifar10").images
    times = card.spec.image_size // images.shape[1]
    return images.repeat(times, axis=1).repeat(times, axis=2)


def torchvision_module(
    name: str, num_classes: int = 5, seed: int = 0, **options: object
) -> nn.Module:
    """A module of torchvision's with random weights and statistics, made in little time."""
    with Weightless():
        module = torchvision.models.get_model(name, num_classes=num_classes, **options)
    return filled(module, seed)


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give a module that was made without memory random weights and statistics."""
    pool = torch.rand(10_007, generator=torch.Generator().manual_seed(seed))

    def fill(tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor
        if not tensor.is_floating_point():
            return torch.zeros(tensor.shape, dtype=tensor.dtype)
        values = pool.repeat(tensor.numel() // len(pool) + 1)[: tensor.numel()]
        if tensor.dim() < 2:
            return values + 0.5
        bound = (6 / tensor[0].numel()) ** 0.5
        return values.mul_(2 * bound).sub_(bound).view(tensor.shape)

    module._apply(fill)
    return module.eval()
