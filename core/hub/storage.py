"""Model folders: weights, card and tables, written atomically and read without pickle."""

import hashlib
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.exits.table import ExitTable
from core.exits.table_file import save_tables
from core.foundation.errors import UserError
from core.foundation.files import atomic_folder, write_json
from core.hub.card import Card
from core.hub.registry import CARD, FRONTS, TABLE, WEIGHTS
from core.networks.network import ExitNetwork
from core.networks.packing import SCALE, pack, unpack, unpack_all
from core.networks.weights import save_tensors
from core.tuning.front_file import save_fronts


def write_model(
    folder: Path, network: ExitNetwork, card: Card, tables: Mapping[str, ExitTable]
) -> Card:
    """Write a model's folder, atomically; an earlier model there is replaced.

    Args:
        folder: for the model.
        network: its weights are stored without loss, in eight bits or in half precision where
            that is exact.
        card: without the checksum of the weights.
        tables: by split, "calibration" and "test"; may be empty.

    Returns:
        The card with the checksum.

    Raises:
        UserError: the folder has other files than a model's, or weights are not finite.
    """
    if (
        folder.exists()
        and not (folder / CARD).is_file()
        and (not folder.is_dir() or any(folder.iterdir()))
    ):
        raise UserError(
            f"expected {folder} to be a new folder or a model's, but it holds other files: choose "
            "another name."
        )
    state = network.state_dict()
    _check_numbers(state, network, "the network")
    with atomic_folder(folder) as partial:
        save_tensors(_compact(state), partial / WEIGHTS)
        if tables:
            save_tables(partial / TABLE, tables)
        write_fronts(partial, card, tables)
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        checksum = sha256(partial / WEIGHTS)
        card = card.model_copy(update={"sha256": checksum, "versions": versions})
        write_json(partial / CARD, card.model_dump(mode="json"))
    return card


def write_other_tables(
    folder: Path, source: Path, card: Card, tables: Mapping[str, ExitTable]
) -> None:
    """Write a model's folder with the weights of another, to the byte, and tables of its own.

    Args:
        folder: for the model, new.
        source: folder of the model that has the weights.
        card: with their checksum.
        tables: by split, "calibration" and "test".
    """
    with atomic_folder(folder) as partial:
        shutil.copyfile(source / WEIGHTS, partial / WEIGHTS)
        save_tables(partial / TABLE, tables)
        write_fronts(partial, card, tables)
        write_json(partial / CARD, card.model_dump(mode="json"))


def write_fronts(folder: Path, card: Card, tables: Mapping[str, ExitTable]) -> None:
    """Search the accuracy–cost front of every criterion of a model, and write them.

    Args:
        folder: of the model.
        card: of the model.
        tables: by split, as they are stored; without labelled calibration samples, or without
            early exits, nothing is written.
    """
    calibration = tables.get("calibration")
    if calibration is not None and calibration.labelled.all() and card.num_exits > 1:
        save_fronts(folder / FRONTS, calibration, card.criteria)


def _compact(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU, as names may share a tensor, as small as is lossless."""
    compact = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        half = tensor.half() if tensor.dtype == torch.float32 else tensor
        compact[name] = half if torch.equal(half.to(tensor.dtype), tensor) else tensor
        pair = pack(tensor)
        if pair is not None and torch.equal(unpack(*pair), tensor):
            compact[name], compact[name + SCALE] = pair
    return compact


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path, card: Card, network: ExitNetwork) -> dict[str, Tensor]:
    """Read the weights that a card describes, checked against it and against the network.

    Raises:
        UserError: weights that are missing, damaged, not the card's, not finite, or of another
            network.
    """
    if not path.is_file():
        raise UserError(f"expected the weights of {card.name} at {path}, but there is no file.")
    try:
        weights = unpack_all(load_file(path), str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"the weights {path} are damaged or not safetensors ({error}): copy them again."
        ) from None
    if sha256(path) != card.sha256:
        raise UserError(
            f"the weights {path} are not the ones its card.json describes (field sha256 differs): "
            "copy card and weights together."
        )
    expected = network.state_dict()
    differences = [f"lack {name!r}" for name in expected if name not in weights]
    differences += [f"have {name!r} beside" for name in weights if name not in expected]
    differences += [
        f"have {name!r} of shape {tuple(weights[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if differences:
        more = f", and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise UserError(
            f"expected the weights {path} to be those of the network on the card, but they "
            f"{', '.join(differences[:5])}{more}: copy card and weights together."
        )
    _check_numbers(weights, network, str(path))
    return {name: tensor.to(expected[name].dtype) for name, tensor in weights.items()}


def _check_numbers(weights: Mapping[str, Tensor], network: ExitNetwork, where: str) -> None:
    """Raise `UserError` for values that are not finite; buffers such as masks may be infinite."""
    parameters = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    for name, tensor in weights.items():
        usable = tensor.isfinite() if name in parameters else ~tensor.isnan()
        if not usable.all():
            raise UserError(f"expected tensor {name!r} of {where} to be finite, but it is not.")
