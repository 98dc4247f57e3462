"""Where a run begins: the trunk and the classifier of a network that is trained already."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from core.foundation.errors import UserError, nearest
from core.networks.constructors import TORCHVISION
from core.networks.network import ExitNetwork
from core.networks.normalisation import Normalisation
from core.networks.spec import NetworkSpec
from core.networks.weights import SUFFIXES, fill, read_weights

DOWNLOAD = "torchvision:"


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
    network: ExitNetwork,
    spec: NetworkSpec,
    source: str,
    find: Find = find_nothing,
    new_classifier: bool = False,
) -> Normalisation | None:
    """Copy a trained network's trunk and final head into a network of the same backbone.

    What its early exits have learned comes along where both have the same head at the same place.

    Args:
        network: built from ``spec``; the rest of its early exits stays as it is.
        spec: names the backbone.
        source: a model, a model's folder, a file of weights (see `core.networks.weights`) or
            "torchvision:DEFAULT", where DEFAULT may be any of the weights that torchvision has
            for the backbone.
        find: looks up a model or its folder.
        new_classifier: whether a classifier of another number of classes is left fresh.

    Returns:
        The normalisation that the weights were trained with, where that is known: a file does
        not tell.

    Raises:
        UserError: no such model, file or download; weights that do not fit.
    """
    tensors, normalisation = _found(spec, source, find)
    fill(network, tensors, source, new_classifier)
    return normalisation


def _found(
    spec: NetworkSpec, source: str, find: Find
) -> tuple[Mapping[str, Tensor], Normalisation | None]:
    if source.startswith(DOWNLOAD):
        return _download(spec, source)
    path = Path(source)
    if path.suffix in SUFFIXES or path.is_file():
        return read_weights(path), None
    trained = find(source)
    return trained.network.state_dict(), trained.normalisation


def _download(spec: NetworkSpec, source: str) -> tuple[Mapping[str, Tensor], Normalisation]:
    if not spec.backbone.startswith(TORCHVISION):
        raise UserError(
            f"expected `start_from` {source} to go with a backbone of torchvision's, but got "
            f'{spec.backbone}: write for example backbone = "{TORCHVISION}resnet18".'
        )
    import torchvision  # takes seconds

    constructor = spec.backbone.removeprefix(TORCHVISION)
    choices = torchvision.models.get_model_weights(constructor).__members__
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
