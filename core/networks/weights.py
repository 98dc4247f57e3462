"""Weights from a file: whatever a training script has put around them."""

import argparse
import os
import pickle
import re
from collections.abc import Container, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.foundation.errors import UserError
from core.networks.cut import original_names
from core.networks.network import ExitNetwork
from core.networks.packing import unpack_all

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
NESTED = ("state_dict", "model_state_dict", "state_dict_ema", "model", "model_ema", "net")
"""Under which names training scripts keep a network's weights beside other things."""
WRAPPERS = ("module.", "model.", "_orig_mod.", "backbone.", "net.", "network.", "encoder.")
"""What DataParallel, Lightning, torch.compile and others put before every tensor's name."""
_REST = re.compile(r"heads\.([^.]+)\.reader\.rest\.")
SHARED = ("trunk.", "heads.final.")
"""What a plain network and its early-exit version have in common."""
OLD_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
HARMLESS: list[Any] = [
    *(argparse.Namespace, np.dtype, np.ndarray),
    *(np.float64(0).__reduce__()[0], np.empty(0).__reduce__()[0]),  # which make them
    *(type(np.dtype(code)) for code in "?bBhHiIlLqQefdg"),
]
"""What stands beside the tensors in many checkpoints and cannot run foreign code."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, freed from what training scripts put around them.

    Raises:
        UserError: no such file, one that is damaged, or one without tensors.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"expected weights in a {', '.join(SUFFIXES)} file, but got {path}.")
    if not path.is_file():
        raise UserError(f"expected weights at {path}, but there is no file.")
    try:
        if path.suffix == ".safetensors":
            content: object = unpack_all(load_file(path), str(path))
        else:
            with torch.serialization.safe_globals(HARMLESS):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"expected {path} to hold tensors, but it is damaged or holds other objects, which "
            "could run foreign code and are not read: save it anew with "
            "torch.save(module.state_dict(), …)."
        ) from None
    except (SafetensorError, OSError, ValueError, RuntimeError, EOFError) as error:
        raise UserError(f"the weights {path} are damaged ({error}): copy them again.") from None
    tensors = _tensors(content)
    if not tensors:
        raise UserError(
            f"expected {path} to hold a state dict, names and their tensors, but got "
            f"{type(content).__name__}: save it anew with torch.save(module.state_dict(), …)."
        )
    return tensors


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors.

    Raises:
        OSError: the system refuses, as any file does it; safetensors has an error of its own.
    """
    try:
        save_file(dict(tensors), path, None if metadata is None else dict(metadata))
        path.chmod(0o644)  # safetensors lets only the owner read it
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def _tensors(content: object) -> dict[str, Tensor]:
    """Return the tensors of the first dictionary that has any, the usual ones first."""
    if not isinstance(content, Mapping):
        return {}
    tensors = {
        name.replace("_orig_mod.", ""): value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    usual = [content[name] for name in NESTED if name in content]
    for other in (*usual, *content.values()):
        tensors = tensors or _tensors(other)
    return tensors


def fill(
    target: nn.Module, tensors: Mapping[str, Tensor], source: str, new_classifier: bool = False
) -> None:
    """Copy tensors into a module, or into a network's trunk and final head, by their names.

    What the early exits of a network have learned comes along where both have the same head at
    the same place.

    Args:
        target: gets the weights.
        tensors: named as the target's, or as those of the module that it was cut from.
        source: names them in errors.
        new_classifier: whether a classifier of another number of classes is left as it is.

    Raises:
        UserError: they are another network's; names the first five that do not fit.
    """
    ours = target.state_dict()
    shared = SHARED if isinstance(target, ExitNetwork) else ""
    own = {name: name for name in ours if name.startswith(shared)}
    original, unused = original_names(target) if isinstance(target, ExitNetwork) else ({}, set())
    given = _unwrapped(tensors, own.keys() | original.keys())
    names = own if own.keys() & given.keys() or not original else original
    fitting = {  # early exits that have the same head at the same place
        name: tensor
        for name, tensor in given.items()
        if name.startswith("heads.") and name in ours and tensor.shape == ours[name].shape
    }
    given = {
        name: tensor
        for name, tensor in given.items()
        if name in names or not (name in unused or name.startswith("heads."))
    }
    classifier = next(reversed(names.values()), "").rpartition(".")[0] + "."
    fresh = [
        name
        for name, tensor in given.items()
        if names.get(name, "").startswith(classifier) and _other_classes(tensor, ours[names[name]])
    ]
    if fresh and not new_classifier:
        raise UserError(
            f"expected {source} to tell {len(ours[names[fresh[0]]])} classes apart, but it tells "
            f"{len(given[fresh[0]])} ({fresh[0]}): set `new_classifier`, or start from weights "
            "that were trained on these classes."
        )
    given = {name: tensor for name, tensor in given.items() if name not in fresh}
    _check_names(given, [name for name in names if name not in fresh], source, _called(target))
    _check_tensors({n: (t, ours[names[n]]) for n, t in given.items()}, source, _called(target))
    filled = ours | fitting | {names[n]: tensor for n, tensor in given.items()}
    target.load_state_dict(filled | _begun(filled, fitting))


def _begun(filled: Mapping[str, Tensor], learned: Container[str]) -> dict[str, Tensor]:
    """What heads that go on as the trunk does, see `heads.rest`, begin with: its weights."""
    begun = {}
    for name in filled:
        match = _REST.match(name)
        if match and name not in learned:
            begun[name] = filled[f"trunk.blocks.{name[match.end() :]}"]
            for one in ("weight", "bias"):
                ours, whole = (f"heads.{head}.softmax_branch.{one}" for head in (match[1], "final"))
                if whole in filled and filled[whole].shape == filled[ours].shape:
                    begun[ours] = filled[whole]
    return begun


def _other_classes(tensor: Tensor, ours: Tensor) -> bool:
    return tensor.dim() > 0 and len(tensor) != len(ours) and tensor.shape[1:] == ours.shape[1:]


def _called(target: nn.Module) -> str:
    spec = target._spec if isinstance(target, ExitNetwork) else None
    return f"the backbone {spec.backbone}" if spec else type(target).__name__


def _unwrapped(tensors: Mapping[str, Tensor], expected: Set[str]) -> dict[str, Tensor]:
    """Strip what wrappers put before all names, as far as the names are then known."""
    tensors = {
        OLD_DENSE_LAYER.sub(r"\1\2.", name): tensor
        for name, tensor in tensors.items()
        if name != "n_averaged"  # of torch.optim.swa_utils
    }
    best = tensors
    while wrapper := next((w for w in WRAPPERS if all(n.startswith(w) for n in tensors)), None):
        tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
        if len(expected & tensors.keys()) > len(expected & best.keys()):
            best = tensors
    return best


def _check_names(
    given: Mapping[str, Tensor], names: Sequence[str], source: str, target: str
) -> None:
    # Files older than batch norm's counter lack it, and nothing here reads it.
    missing = [n for n in names if n not in given and not n.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in names]
    faults = []
    if missing:
        faults.append(f"lacks {_first(missing)}")
    if unexpected:
        faults.append(f"has {_first(unexpected)}, which fit nowhere")
    if faults:
        raise UserError(
            f"expected {source} to hold the weights of {target} and its classifier, but it "
            f"{' and '.join(faults)}: name the network they belong to."
        )


def _check_tensors(pairs: Mapping[str, tuple[Tensor, Tensor]], source: str, target: str) -> None:
    misfits = [
        f"{name} of shape {tuple(theirs.shape)} instead of {tuple(ours.shape)}"
        for name, (theirs, ours) in pairs.items()
        if theirs.shape != ours.shape
    ]
    if misfits:
        raise UserError(
            f"expected the tensors in {source} to have the shapes of {target}, but it has "
            f"{_first(misfits)}: name the network, and its channels, that they belong to."
        )
    for name, (theirs, _) in pairs.items():
        if not theirs.isfinite().all():
            raise UserError(f"expected tensor {name!r} in {source} to be finite, but it is not.")


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
