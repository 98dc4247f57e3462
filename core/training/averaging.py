"""The mean of the weights at the ends of phases: stochastic weight averaging.

Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization"
(arXiv 1803.05407). Each phase sweeps the learning rate once, as a cycle of theirs does.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn


class MeanWeights:
    """A running mean of a network's weights.

    Attributes:
        tensors: the mean so far, by the names of the network's state.
        count: of how many.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.tensors: dict[str, Tensor] = {}
        self.count = 0

    @torch.no_grad()
    def take(self, network: nn.Module, batches: Iterable[Tensor]) -> None:
        """Add the network's weights to the mean, and give the network the mean.

        Args:
            network: changed in place, if this is not the first time.
            batches: images (B, C, H, W), normalised, to measure batch statistics on: those of the
                networks that are averaged do not fit the mean.
        """
        self.count += 1
        state = network.state_dict()
        if self.count == 1:
            self.tensors = {name: tensor.clone() for name, tensor in state.items()}
            return
        for name, mean in self.tensors.items():
            if mean.is_floating_point():
                mean.lerp_(state[name], 1 / self.count)
        network.load_state_dict(self.tensors)
        update_bn(batches, network)
