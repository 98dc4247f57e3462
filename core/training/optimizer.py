"""The optimiser of a recipe, and its learning rate over a phase."""

import math

import torch
from torch import Tensor, nn

from core.training.recipe import Phase, Settings


def optimizer_of(settings: Settings, network: nn.Module) -> torch.optim.Optimizer:
    """Return a recipe's optimiser, its rate still to be set: "times" in a group scales it.

    On a GPU one kernel updates all weights, and what it reads stays in one place, so that it can be
    recorded: the rate is a tensor there, and momentum begins at 0.
    """
    biases = [m.bias for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    apart = {id(bias) for bias in biases}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in apart]
    decay, times = settings.weight_decay, settings.norm_bias_rate
    groups = [
        {"params": rest, "times": 1.0, "weight_decay": decay},
        {"params": biases, "times": times, "weight_decay": decay / times},
    ]
    on_gpu = all(parameter.is_cuda for parameter in network.parameters())
    if on_gpu:
        groups = [group | {"lr": torch.zeros((), device=rest[0].device)} for group in groups]
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=0.0, fused=on_gpu or None, capturable=on_gpu)
    momentum = settings.momentum
    optimizer = torch.optim.SGD(
        groups, lr=0.0, momentum=momentum, nesterov=momentum > 0, fused=on_gpu or None
    )
    if on_gpu and momentum:
        for parameter in network.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of an optimiser that `optimizer_of` made."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * group["times"])
        else:
            group["lr"] = rate * group["times"]


def learning_rate(phase: Phase, progress: float) -> float:
    """Return the rate at ``progress`` in [0, 1) of a phase."""
    if progress < phase.warmup:
        return phase.learning_rate * (progress / phase.warmup * 0.95 + 0.05)
    done = (progress - phase.warmup) / (1 - phase.warmup)
    match phase.schedule:
        case "cosine":
            return phase.learning_rate * (1 + math.cos(math.pi * done)) / 2
        case "step":
            return phase.learning_rate * 0.1 ** ((done >= 0.5) + (done >= 0.75))
        case "constant":
            return phase.learning_rate


def optimizer_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Name the optimiser's state after the parameters it belongs to: "optimizer.NAME/KEY"."""
    return {
        f"optimizer.{name}/{key}": value
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(
    network: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` took out, names without "optimizer."."""
    parameters = dict(network.named_parameters())
    for name, value in tensors.items():
        owner, key = name.split("/")
        parameter = parameters[owner]
        # Adam counts its steps on the CPU unless it is fused; all else lives beside its parameter.
        on_cpu = key == "step" and not optimizer.defaults["fused"]
        place = value if on_cpu else value.to(parameter.device)
        if place.dim() == 4:
            place = place.contiguous(memory_format=torch.channels_last)
        optimizer.state[parameter][key] = place
