"""What a network costs: multiply-accumulates and parameters per stage and per head."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from core.foundation.costs import Costs
from core.networks.network import ExitNetwork
from core.networks.trunk import Trunk


@dataclass(frozen=True)
class NetworkCost:
    """MACs and parameters per stage and head, for one image.

    MACs are those of convolutions and linear layers, as is usual in the field.
    """

    stage_macs: tuple[int, ...]
    head_macs: tuple[int, ...]
    stage_parameters: tuple[int, ...]
    head_parameters: tuple[int, ...]

    @property
    def plain_macs(self) -> int:
        """MACs of the plain network: the trunk and its classifier, no early exits."""
        return sum(self.stage_macs) + self.head_macs[-1]

    @property
    def costs(self) -> Costs:
        """Relative costs of the stages and heads."""
        return Costs.of_macs(self.stage_macs, self.head_macs)


def _macs(module: nn.Module, inputs: Tensor) -> tuple[int, object]:
    with FlopCounterMode(display=False) as counter:
        output = module(inputs)
    return counter.get_total_flops() // 2, output  # the counter counts 2 per MAC


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def block_macs(trunk: Trunk, in_channels: int, image_size: int) -> tuple[int, ...]:
    """Count the MACs of each block of a trunk for one square image."""
    training = trunk.training
    trunk.eval()
    features = torch.zeros(1, in_channels, image_size, image_size)
    counts = []
    for block in trunk.blocks:
        macs, output = _macs(block, features)
        assert isinstance(output, Tensor)
        features = output
        counts.append(macs)
    trunk.train(training)
    return tuple(counts)


@torch.no_grad()
def head_macs(head: nn.Module, shape: tuple[int, int, int]) -> int:
    """Count the MACs of a head that reads features of ``shape`` (C, H, W)."""
    training = head.training
    device = next((parameter.device for parameter in head.parameters()), None)
    macs, _ = _macs(head.eval(), torch.zeros(1, *shape, device=device))
    head.train(training)
    return macs


@torch.no_grad()
def count(network: ExitNetwork, in_channels: int, image_size: int) -> NetworkCost:
    """Count MACs and parameters of each stage and head for one square image."""
    training = network.training
    network.eval()
    per_block = block_macs(network.trunk, in_channels, image_size)
    parameters = [_parameters(block) for block in network.trunk.blocks]
    features = torch.zeros(1, in_channels, image_size, image_size)
    head_macs = []
    for index, name in enumerate(network.exit_names):
        features = network.stage(index, features)
        head_macs.append(_macs(network.heads[name], features)[0])
    network.train(training)
    return NetworkCost(
        stage_macs=tuple(sum(per_block[start:stop]) for start, stop in network.stage_ranges),
        head_macs=tuple(head_macs),
        stage_parameters=tuple(sum(parameters[a:b]) for a, b in network.stage_ranges),
        head_parameters=tuple(_parameters(network.heads[name]) for name in network.exit_names),
    )
