"""Checkpoints: everything a run needs to go on, in one safetensors file, never half-written."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.foundation.errors import UserError
from core.foundation.files import atomic_path


@dataclass
class Checkpoint:
    """A training run between two epochs.

    Attributes:
        tensors: network weights ("network.…"), optimiser state ("optimizer.…"), for v4 the
            samples' tags ("tags"), and the mean of weights, if any ("mean.…").
        facts: JSON values: the recipe, epochs done, history, the best epoch, seconds spent,
            of how many weights the mean is.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Tensors under ``prefix``, without it."""
        start = prefix + "."
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the old one stays until the new one is whole."""
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()
    }
    with atomic_path(path) as partial:
        save_file(tensors, partial, metadata={"facts": json.dumps(checkpoint.facts)})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        UserError: the file is missing, damaged or not a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"expected a checkpoint at {path}, but there is none.") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"the checkpoint {path} cannot be read: {error}.") from None
    return Checkpoint(tensors, facts)


def optimizer_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Name the optimiser's state after the parameters it belongs to."""
    tensors = {}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{name}/{key}"] = value
    return tensors


def restore_optimizer(
    network: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` took out."""
    parameters = dict(network.named_parameters())
    for name, value in tensors.items():
        owner, key = name.split("/")
        parameter = parameters[owner]
        # Adam counts its steps on the CPU; everything else lives beside its parameter.
        place = value if key == "step" else value.to(parameter.device)
        if place.dim() == 4:
            place = place.contiguous(memory_format=torch.channels_last)
        optimizer.state[parameter][key] = place
