"""Where a run begins: the trunk and the classifier of a network that is trained already."""

import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.foundation.errors import UserError, nearest
from core.networks.backbones.torchvision_trunks import PREFIX, torchvision_names
from core.networks.network import ExitNetwork
from core.networks.normalisation import Normalisation
from core.networks.spec import NetworkSpec

DOWNLOAD = "torchvision:"
SUFFIXES = (".safetensors", ".pth", ".pt")
NESTED = ("state_dict", "model_state_dict", "model")
"""Under which names training scripts keep a network's weights beside other things."""
WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and Lightning put before every tensor's name."""
SHARED = ("trunk.", "heads.final.")
"""What a plain network and its early-exit version have in common."""
OLD_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network that is trained already, with what its images must look like.

    Attributes:
        network: in eval mode, on the CPU.
        spec: what it is made of.
        normalisation: of its images.
    """

    network: ExitNetwork
    spec: NetworkSpec
    normalisation: Normalisation


Find = Callable[[str], TrainedNetwork]
"""Returns the trained network of a name or folder; raises `UserError` when there is none."""


def find_nothing(name: str) -> TrainedNetwork:
    """Raise `UserError`: for where there is no registry of trained networks to look in."""
    raise UserError(
        f"expected a trained network called {name!r}, but no registry to look in was given: pass "
        "`find=core.hub.model.trained`."
    )


def start_from(
    network: ExitNetwork, spec: NetworkSpec, source: str, find: Find = find_nothing
) -> Normalisation | None:
    """Copy a trained network's trunk and final head into a network of the same backbone.

    What its early exits have learned comes along where both have the same head at the same place.

    Args:
        network: built from ``spec``; the rest of its early exits stays as it is.
        spec: names the backbone.
        source: a shipped model, a model's folder, a file of weights (.safetensors, or .pth or
            .pt, of which nothing but tensors is read) or "torchvision:DEFAULT", where DEFAULT may
            be any of the weights that torchvision has for the backbone. A file's tensors are
            named as torchvision's or as this project's.
        find: looks up a model or its folder.

    Returns:
        The normalisation that the weights were trained with, where that is known: a file does
        not tell.

    Raises:
        UserError: no such model, file or download; weights that do not fit.
    """
    tensors, normalisation = _found(spec, source, find)
    ours = network.state_dict()
    heads = {
        name: tensor
        for name, tensor in tensors.items()
        if name in ours and name.startswith("heads.") and tensor.shape == ours[name].shape
    }
    shared = [name for name in ours if name.startswith(SHARED)]
    tensors, names = _matched(tensors, shared, spec, source)
    _check_names(tensors, names, spec, source)
    fitting = {names[name]: tensor for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        _check_tensor(name, tensor, ours[names[name]], spec, source)
    network.load_state_dict(ours | heads | fitting)
    return normalisation


def _found(
    spec: NetworkSpec, source: str, find: Find
) -> tuple[Mapping[str, Tensor], Normalisation | None]:
    if source.startswith(DOWNLOAD):
        return _download(spec, source)
    path = Path(source)
    if path.suffix in SUFFIXES or path.is_file():
        return _read(path), None
    trained = find(source)
    return trained.network.state_dict(), trained.normalisation


def _download(spec: NetworkSpec, source: str) -> tuple[Mapping[str, Tensor], Normalisation]:
    if not spec.backbone.startswith(PREFIX):
        raise UserError(
            f"expected `start_from` {source} to go with a backbone of torchvision's, but got "
            f'{spec.backbone}: write for example backbone = "{PREFIX}resnet18".'
        )
    choices = torchvision.models.get_model_weights(spec.backbone.removeprefix(PREFIX)).__members__
    name = source.removeprefix(DOWNLOAD)
    if name not in choices:
        raise UserError(
            f"expected `start_from` to be one of "
            f"{', '.join(DOWNLOAD + choice for choice in choices)}, "
            f"but got {source!r}.{nearest(name, choices)}"
        )
    weights = choices[name]
    try:
        tensors = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(
            f"the weights {weights.url} cannot be downloaded ({error}): fetch the file on a "
            "machine that can, and name it in `start_from`."
        ) from None
    seen = weights.transforms()
    return tensors, Normalisation(seen.mean, seen.std)


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"expected `start_from` to be a model, its folder or a file that ends in "
            f"{', '.join(SUFFIXES)}, but got {path}."
        )
    if not path.is_file():
        raise UserError(f"expected weights at {path} (`start_from`), but there is no file.")
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"expected {path} to hold tensors and nothing else, but it is damaged or holds other "
            "objects, which could run foreign code and are not read: save it anew with "
            "torch.save(module.state_dict(), …)."
        ) from None
    except (SafetensorError, OSError, ValueError, RuntimeError, EOFError) as error:
        raise UserError(f"the weights {path} are damaged ({error}): copy them again.") from None
    return _tensors(content, path)


def _tensors(content: object, path: Path) -> dict[str, Tensor]:
    for name in NESTED:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not content:
        raise UserError(
            f"expected {path} to hold a state dict, but got {type(content).__name__}: save it "
            "anew with torch.save(module.state_dict(), …)."
        )
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(
                f"expected {path} to hold a state dict, names and their tensors, but {name!r} is "
                f"{type(value).__name__}: save it anew with torch.save(module.state_dict(), …)."
            )
    return content


def _matched(
    tensors: Mapping[str, Tensor], shared: Sequence[str], spec: NetworkSpec, source: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors that matter, and our names by the names they should have."""
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    if any(name.startswith(SHARED) for name in tensors):
        ours = {name: tensor for name, tensor in tensors.items() if name.startswith(SHARED)}
        return ours, {name: name for name in shared}
    if not spec.backbone.startswith(PREFIX):
        raise UserError(
            f"expected {source} to name its tensors as this project does (trunk.…, heads.final.…), "
            f"but got {_some(tensors)}: if the weights are those of a torchvision module, write "
            f'for example backbone = "{PREFIX}resnet18" instead of {spec.backbone}.'
        )
    new = {OLD_DENSE_LAYER.sub(r"\1\2.", name): tensor for name, tensor in tensors.items()}
    return new, torchvision_names(spec.backbone)


def _check_names(
    tensors: Mapping[str, Tensor], names: Mapping[str, str], spec: NetworkSpec, source: str
) -> None:
    # Files older than batch norm's counter lack it, and nothing here reads it.
    missing = [n for n in names if n not in tensors and not n.endswith("num_batches_tracked")]
    strange = [name for name in tensors if name not in names]
    faults = []
    if missing:
        faults.append(f"lacks {_some(missing)}")
    if strange:
        faults.append(f"has {_some(strange)}, which fit nowhere")
    if faults:
        raise UserError(
            f"expected {source} to hold the weights of the backbone {spec.backbone} and its "
            f"classifier, but it {' and '.join(faults)}: name the backbone they belong to."
        )


def _check_tensor(name: str, tensor: Tensor, ours: Tensor, spec: NetworkSpec, source: str) -> None:
    got, expected = tuple(tensor.shape), tuple(ours.shape)
    if got != expected and got[1:] == expected[1:] and got[0] != spec.num_classes == expected[0]:
        raise UserError(
            f"expected {source} to tell {spec.num_classes} classes apart, as the recipe's network "
            f"does, but it tells {got[0]} ({name}): train the plain network on these classes "
            "first and start from that."
        )
    if got != expected:
        raise UserError(
            f"expected tensor {name!r} in {source} to have shape {expected}, as in the backbone "
            f"{spec.backbone} for {spec.in_channels} channels, but got {got}: name the backbone, "
            "and `in_channels`, that the weights belong to."
        )
    if not tensor.isfinite().all():
        raise UserError(f"expected tensor {name!r} in {source} to be finite, but it is not.")


def _some(names: Iterable[str]) -> str:
    first, *others = names
    return f"{first!r}" + (f" and {len(others)} more" if others else "")
