"""Batch norms folded into the convolutions before them: the same function in fewer steps."""

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

from core.networks.network import ExitNetwork
from core.networks.trunk import image_for

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(network: ExitNetwork) -> ExitNetwork:
    """Return a copy without the batch norms that a convolution can do on the way.

    A norm is folded where its input is what a convolution put out, nothing else reads that, and
    both run once: seen in a run, so that it holds for any module whose path does not depend on
    its input.

    Args:
        network: in eval mode, built from a specification.
    """
    copied = copy.deepcopy(network)
    spec = network.spec
    for convolution, norm in _pairs(copied, image_for(copied, spec.in_channels, spec.image_size)):
        pair: Any = (copied.get_submodule(convolution), copied.get_submodule(norm))
        fused = fuse_conv_bn_eval(*pair)
        copied.set_submodule(convolution, fused)
        copied.set_submodule(norm, nn.Identity())
    return copied.requires_grad_(False)


class _Readers(TorchFunctionMode):
    """Counts by how many functions of torch each tensor was read."""

    def __init__(self) -> None:
        self.count: Counter[int] = Counter()
        self.alive: list[Any] = []  # an identity must not be given to a second tensor

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        if _tensors(result):  # else it only looked at a shape
            self.count.update(map(id, _tensors([*args, *(kwargs or {}).values()])))
        self.alive.append((args, result))
        return result


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [x for one in value for x in _tensors(one)] if isinstance(value, list | tuple) else []


@torch.no_grad()
def _pairs(network: ExitNetwork, image: Tensor) -> list[tuple[str, str]]:
    """Return the names of convolutions and of the norms that may be folded into them."""
    made: dict[int, str] = {}  # tensors by the convolution that put them out
    read: list[tuple[str, int]] = []  # norms with the tensors they read
    runs: Counter[str] = Counter()
    handles = []
    for name, module in network.named_modules(remove_duplicate=False):
        if isinstance(module, _CONVOLUTIONS + _NORMS):

            def seen(module: nn.Module, inputs: Any, output: Tensor, name: str = name) -> None:
                runs[name] += 1
                if isinstance(module, _NORMS):
                    read.append((name, id(inputs[0])))
                else:
                    made[id(output)] = name

            handles.append(module.register_forward_hook(seen))
    try:
        with _Readers() as readers:
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return [
        (made[tensor], norm)
        for norm, tensor in read
        if tensor in made
        and readers.count[tensor] == 1
        and runs[norm] == runs[made[tensor]] == 1
        and network.get_submodule(norm).track_running_stats
    ]
