"""Checkpoints: everything a run needs to go on, in one safetensors file, never half-written."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.foundation.errors import UserError
from core.foundation.files import atomic_path
from core.networks.weights import save_tensors

LATEST, BEST = "checkpoint.safetensors", "best.safetensors"
"""In a run's folder: the last epoch's checkpoint, and the best epoch's."""


@dataclass
class Checkpoint:
    """A training run between two epochs.

    Attributes:
        tensors: network weights ("network.…"), optimiser state ("optimizer.…"), for v4 the
            samples' tags ("tags"), and the mean of weights, if any ("averaged.…").
        facts: JSON values: the recipe, epochs done, history, the best epoch, seconds spent.
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
    """Write a checkpoint, atomically."""
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()
    }
    with atomic_path(path) as partial:
        save_tensors(tensors, partial, {"facts": json.dumps(checkpoint.facts)})


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


def save_epoch(folder: Path, checkpoint: Checkpoint) -> None:
    """Keep the checkpoint of a finished epoch in a run's folder."""
    if checkpoint.facts["best_epoch"] == checkpoint.facts["epoch"]:
        save_checkpoint(folder / BEST, checkpoint)
    save_checkpoint(folder / LATEST, checkpoint)


def earlier_run(folder: Path, resume: bool) -> bool:
    """Return whether a folder holds a run to resume.

    Raises:
        UserError: it holds one that would be overwritten.
    """
    latest = folder / LATEST
    if latest.exists() and not resume:
        raise UserError(
            f"expected {folder} to hold no earlier run, but {latest} exists: "
            "add --resume (resume=True in Python) to go on with it, or choose another folder."
        )
    return latest.exists()
