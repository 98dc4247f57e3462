"""What a network costs: multiply-accumulates and parameters per stage and per head."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import BaseTorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from core.foundation.costs import Costs
from core.networks.network import ExitNetwork
from core.networks.trunk import Trunk, image_for


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


def counted(function: Callable[..., Any], *inputs: Any) -> tuple[int, Any]:
    """Call a function. Return the MACs of its convolutions and products, and what it returns."""
    # Any function mode keeps attention from its fused inference path, which is not counted.
    with BaseTorchFunctionMode(), FlopCounterMode(display=False) as counter:
        output = function(*inputs)
    return counter.get_total_flops() // 2, output  # the counter counts 2 per MAC


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@contextmanager
def _in_eval_mode(*modules: nn.Module) -> Iterator[None]:
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    with torch.no_grad():
        yield
    for module, training in zip(modules, modes, strict=True):
        module.train(training)


def trunk_macs(trunk: Trunk, final: nn.Module, in_channels: int, image_size: int) -> list[int]:
    """Count the MACs of each block of a trunk, and of its final head, for one square image."""
    features = image_for(trunk, in_channels, image_size)
    macs = []
    with _in_eval_mode(trunk, final):
        for layer in trunk.blocks:
            block, features = counted(layer, features)
            macs.append(block)
        device = next((tensor.device for tensor in final.parameters()), features.device)
        macs.append(counted(final, features.to(device))[0])
    return macs


def count(network: ExitNetwork, in_channels: int, image_size: int) -> NetworkCost:
    """Count MACs and parameters of each stage and head for one square image."""
    stages, heads = [], []
    features = image_for(network, in_channels, image_size)
    with _in_eval_mode(network):
        for index in range(network.num_exits):
            macs, features = counted(network.stage, index, features)
            stages.append(macs)
            heads.append(counted(network.head, index, features)[0])
    blocks = [_parameters(block) for block in network.trunk.blocks]
    return NetworkCost(
        stage_macs=tuple(stages),
        head_macs=tuple(heads),
        stage_parameters=tuple(sum(blocks[start:stop]) for start, stop in network.stage_ranges),
        head_parameters=tuple(_parameters(head) for head in network.heads.values()),
    )
