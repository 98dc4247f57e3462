"""Models: networks with their weights, card and tables, in one folder each."""

import hashlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.data.images import fit
from core.exits.inference import (
    BATCH_SIZE,
    Prediction,
    run_all_exits,
    run_with_skipping,
)
from core.exits.policy import Policy
from core.exits.table import ExitTable
from core.exits.table_file import save_tables
from core.foundation.errors import UserError
from core.foundation.files import atomic_path, write_json
from core.hub.card import Card, load_card
from core.hub.registry import model_folder, shipped_table
from core.networks.build import build
from core.networks.network import ExitNetwork
from core.networks.normalisation import Normalisation
from core.training.start_from import TrainedNetwork

Images = NDArray[np.uint8] | Sequence[Image.Image]
"""Images uint8 (N, H, W, C), or pictures of any size."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network with what is known about it, ready to be asked.

    Nothing in it changes after loading, so threads may share one.
    """

    network: ExitNetwork
    card: Card
    folder: Path
    device: torch.device

    @property
    def name(self) -> str:
        """The name on the card."""
        return self.card.name

    @cached_property
    def normalisation(self) -> Normalisation:
        """How the network's input is normalised, on its device."""
        return Normalisation(self.card.mean, self.card.std).to(self.device)

    def fit(self, images: Images) -> NDArray[np.uint8]:
        """Bring images to the network's input: uint8 (N, H, W, C).

        Pictures are cut square and scaled. Arrays must have the size already.

        Raises:
            UserError: an array of another type or shape.
        """
        spec = self.card.spec
        size, channels = spec.image_size, spec.in_channels
        if isinstance(images, np.ndarray):
            if images.dtype != np.uint8 or images.shape[1:] != (size, size, channels):
                raise UserError(
                    f"expected `images` to be uint8 of shape (N, {size}, {size}, {channels}), "
                    f"but got {images.dtype} of shape {images.shape}: pass pictures (PIL) to have "
                    "them scaled."
                )
            return images
        if not len(images):
            return np.zeros((0, size, size, channels), np.uint8)
        return np.stack([fit(picture, size, channels) for picture in images])

    def normalised(self, images: Images) -> Tensor:
        """Return images as the network reads them: float32 (N, C, H, W) on its device."""
        pixels = self.fit(images)
        return torch.cat(list(self.normalisation.batches(pixels, max(len(pixels), 1))))

    def table(
        self,
        images: Images,
        labels: NDArray[np.int64] | None = None,
        ids: NDArray[np.int64] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> ExitTable:
        """Ask every exit about every image, skipping nothing.

        Args:
            images: uint8 (N, H, W, C), or pictures.
            labels: (N,) the right answers where known.
            ids: (N,) the images' places in their data set; by default counted from 0.
            batch_size: does not change the result.

        Raises:
            UserError: no images, or images of another shape than the network reads.
        """
        pixels = self._some(images)
        batches = self.normalisation.batches(pixels, batch_size)
        probabilities, confidence = run_all_exits(self.network, batches)
        count = len(pixels)
        return ExitTable(
            probabilities=probabilities,
            confidence=confidence,
            labels=np.full(count, -1) if labels is None else labels,
            ids=np.arange(count) if ids is None else ids,
            costs=self.card.costs,
            classes=self.card.classes,
        )

    def predict(
        self,
        images: Images,
        policy: Policy | None = None,
        batch_size: int = BATCH_SIZE,
        on_batch: Callable[[int], None] = lambda done: None,
    ) -> Prediction:
        """Answer with early exits in use: what a sample does not need is not run.

        Args:
            images: uint8 (N, H, W, C), or pictures.
            policy: by default the card's.
            batch_size: does not change answers, exits and costs.
            on_batch: told after each batch how many images are done.

        Raises:
            UserError: a policy for another number of exits, or images of another shape.
        """
        pixels = self._some(images)
        return run_with_skipping(
            self.network,
            self.normalisation.batches(pixels, batch_size),
            policy or self.card.default_policy,
            self.card.costs,
            on_batch,
        )

    def shipped_table(self, split: str) -> ExitTable:
        """Return the table that came with the model, for "calibration" or "test"."""
        return shipped_table(self.folder, split)

    def _some(self, images: Images) -> NDArray[np.uint8]:
        pixels = self.fit(images)
        if not len(pixels):
            raise UserError("expected `images` to hold at least one image, but got none.")
        return pixels


def load(name_or_folder: str | Path, device: str = "cpu") -> Model:
    """Load a shipped model by name, or a model from its folder.

    Raises:
        UserError: no such model; weights that are missing, damaged or not the card's; a device
            that this machine has not.
    """
    folder = model_folder(name_or_folder)
    card = load_card(folder / "card.json")
    network = build(card.spec)
    network.load_state_dict(_checked_weights(folder / "weights.safetensors", card, network))
    place = checked_device(device)
    network = network.to(place).eval().requires_grad_(False)
    return Model(network, card, folder, place)


def trained(name_or_folder: str | Path) -> TrainedNetwork:
    """Return a model's network, for a training that begins with it or learns from it.

    Raises:
        UserError: as `load`.
    """
    model = load(name_or_folder)
    return TrainedNetwork(model.network, model.card.spec, model.normalisation)


def checked_device(name: str) -> torch.device:
    """Return the device of that name. Raises `UserError` when this machine has none such."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"expected `device` to be cpu or cuda, but got {name!r}.")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < count):
        raise UserError(
            f"expected `device` {name} to be available, but PyTorch finds {count} GPUs: use cpu."
        )
    return device


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked_weights(path: Path, card: Card, network: ExitNetwork) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"expected the weights of {card.name} at {path}, but there is no file.")
    try:
        weights = load_file(path)
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
    for name in [*expected, *weights]:
        if name not in weights or name not in expected:
            verb = "lack" if name not in weights else "have an unexpected"
            raise UserError(f"the weights {path} {verb} tensor {name!r}, unlike the card's spec.")
        if weights[name].shape != expected[name].shape:
            raise UserError(
                f"expected tensor {name!r} in {path} to have shape {tuple(expected[name].shape)}, "
                f"but got {tuple(weights[name].shape)}."
            )
        if not weights[name].isfinite().all():
            raise UserError(f"expected tensor {name!r} in {path} to be finite, but it is not.")
        weights[name] = weights[name].to(expected[name].dtype)
    return weights


def _compact(tensor: Tensor) -> Tensor:
    """In half precision, where that loses nothing."""
    half = tensor.half() if tensor.dtype == torch.float32 else tensor
    return half if torch.equal(half.to(tensor.dtype), tensor) else tensor


def save(folder: Path, network: ExitNetwork, card: Card, tables: dict[str, ExitTable]) -> Card:
    """Write a model's weights, tables and card; the card last, so a half-made one has none.

    Returns the card with the checksum of the weights.

    Args:
        folder: becomes the model's folder.
        network: its weights are stored without loss, in half precision where they fit.
        card: what is known but for the checksum.
        tables: by split, "calibration" and "test".
    """
    weights = folder / "weights.safetensors"
    with atomic_path(weights) as partial:
        state = network.state_dict().items()
        save_file({name: _compact(tensor.contiguous()) for name, tensor in state}, partial)
    save_tables(folder / "table.npz", tables)
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    card = card.model_copy(update={"sha256": sha256(weights), "versions": versions})
    write_json(folder / "card.json", card.model_dump(mode="json"))
    return card
