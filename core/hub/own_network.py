"""Early exits on a network of the user's own: make it, load weights, attach exits, train, save."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from core.data.class_folders import ClassFolders, readable
from core.data.prepared import ImageSet
from core.data.uploads import Skipped
from core.foundation.errors import UserError
from core.foundation.jobs import Job, OnProgress, Place
from core.foundation.plugins import own_factory
from core.hub.card import Card
from core.hub.model import Model
from core.networks.attach import EXITS, attach, cut_points
from core.networks.constructors import FACTORY, TORCHVISION, make
from core.networks.cut import CutPoint
from core.networks.placement import place
from core.networks.randomness import OwnGenerator
from core.networks.spec import NetworkSpec
from core.networks.weights import fill, read_weights
from core.training.fit import fit
from core.training.preset import load_preset
from core.training.progress import EpochReport, seconds_left

MOST_PARAMETERS = 30_000_000
"""Of a constructor that is offered: larger networks take long to train on a CPU."""
NORMALISATIONS: dict[str, tuple[str, tuple[float, ...] | None, tuple[float, ...] | None]] = {
    "imagenet": ("as ImageNet's", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "own": ("by these pictures", None, None),
    "unit": ("to [0, 1] only", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""How pictures are normalised: in words, and the mean and std of each channel."""
APOLOGY = "The training failed, and the reason has been written to the log: try other settings."
BATCH_SIZE = 32
MOST_KEPT = 64 * 2**20
"""Bytes of test pictures that are kept beside a model."""


def constructors() -> dict[str, int]:
    """Return the backbones to choose from, with their parameters as published.

    Those are torchvision's classifiers of modest size, and `FACTORY` (with 0) where this process
    was started with one.
    """
    import torchvision  # takes seconds

    counts = {}
    for name in torchvision.models.list_models(module=torchvision.models):
        weights = next(iter(torchvision.models.get_model_weights(name)))
        count: int = weights.meta["num_params"]
        if count <= MOST_PARAMETERS:
            counts[TORCHVISION + name] = count
    return ({FACTORY: 0} if own_factory() is not None else {}) | counts


@dataclass(frozen=True)
class OwnNetwork:
    """A network as its maker names it.

    Attributes:
        backbone: "torchvision-…" or "factory".
        num_classes: K.
        image_size: of the square pictures it reads, in pixels.
    """

    backbone: str
    num_classes: int
    image_size: int

    @property
    def example(self) -> Tensor:
        """An image as the network reads it (1, 3, H, W)."""
        return torch.zeros(1, 3, self.image_size, self.image_size)

    def module(self, weights: Path | None = None, called: str = "the file") -> nn.Module:
        """Make the network.

        Args:
            weights: a file of them; random ones without.
            called: the file, in messages.

        Raises:
            UserError: it cannot be made so, or the weights are damaged or another network's.
        """
        spec = NetworkSpec(
            backbone=self.backbone,
            num_classes=self.num_classes,
            in_channels=3,
            image_size=self.image_size,
        )
        module = make(spec)
        if weights is not None:
            try:
                fill(module, read_weights(weights), called)
            except UserError as error:
                raise UserError(str(error).replace(str(weights), called)) from None
        return module

    def cut_points(self) -> tuple[CutPoint, ...]:
        """Return the places where early exits may stand.

        Raises:
            UserError: as `core.cut_points`.
        """
        return cut_points(self.module(), self.example)


def usual_exits(points: Sequence[CutPoint]) -> tuple[str, ...]:
    """Return the places of the early exits that `core.attach` chooses by default."""
    shares = [*(point.share for point in points), 1.0]
    chosen = place("linear", min(EXITS, len(points)), shares, [True] * len(shares))
    return tuple(points[index].name for index in chosen)


@dataclass(frozen=True)
class OwnTraining:
    """What is trained, and how.

    Attributes:
        network: that gets the exits.
        exits: places of it.
        head: a name in `core.networks.heads.HEADS`.
        preset: "frozen-exits", "joint" or "fine-tune".
        epochs: of all phases together.
        normalisation: a name in `NORMALISATIONS`.
        title: of the model.
        dataset: what the pictures are called.
        learned_from: whether the network's weights have learned from the pictures.
    """

    network: OwnNetwork
    exits: tuple[str, ...]
    head: str
    preset: str
    epochs: int
    normalisation: str
    title: str
    dataset: str
    learned_from: bool = False


@dataclass(frozen=True, eq=False)
class OwnModel:
    """What comes of a training.

    Attributes:
        card: of the model.
        pictures: the test pictures as the network reads them, in the order of its table; None
            where they are too large to be kept in memory.
        skipped: files that could not be read.
        notes: what the calibration pictures cannot carry, in sentences.
    """

    card: Card
    pictures: ImageSet | None
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


class OwnNetworkJob(Job[OwnModel]):
    """One such training in a thread of its own. Stopped, it leaves nothing behind."""

    def __init__(
        self,
        training: OwnTraining,
        pictures: ClassFolders,
        folder: Path,
        seconds: float,
        place: Place,
        weights: Path | None = None,
    ) -> None:
        """Begin.

        Args:
            training: what to train, and how.
            pictures: divided into training, calibration and test.
            folder: becomes the model's folder when it is done.
            seconds: that all epochs may take.
            place: limits how many trainings run at once.
            weights: a file of the network's; random ones without.

        Raises:
            UserError: pictures of another number of classes than the network tells apart, where
                its classifier stays.
        """
        check_classes(training, pictures)
        self.training, self.folder = training, folder
        self.reports: list[EpochReport] = []
        """The epochs so far."""
        reports = self.reports

        def work(on_progress: OnProgress) -> OwnModel:
            with place(on_progress):
                return trained(on_progress)

        def trained(on_progress: OnProgress) -> OwnModel:
            opened, skipped = readable(pictures, on_progress)
            splits = opened.split()
            on_progress(0.0, "Cutting the network …")
            with OwnGenerator(0):
                network = attach(
                    training.network.module(weights),
                    training.network.example,
                    exits=training.exits,
                    head=training.head,
                    num_classes=len(opened.classes),
                )
            _, mean, std = NORMALISATIONS[training.normalisation]
            fitted = fit(
                network,
                *splits[:2],
                training.preset,
                workers=0,
                progress=False,
                epochs=training.epochs,
                batch_size=BATCH_SIZE,
                on_epoch=_watch(training.epochs, seconds, reports, on_progress),
                mean=mean,
                std=std,
            )
            on_progress(1.0, "Measuring it on calibration and test, and choosing thresholds …")
            model = Model.of(fitted, opened.classes, title=training.title, dataset=training.dataset)
            notes: list[str] = []
            saved = model.save(
                folder, *splits[1:], learned_from=training.learned_from, on_note=notes.append
            )
            return OwnModel(saved.card, _kept(splits[2], saved.card), skipped, tuple(notes))

        super().__init__(work, APOLOGY)

    @property
    def seconds_left(self) -> float:
        """How long the remaining epochs will take, if they take as long as those before; or NaN."""
        return seconds_left(list(self.reports), self.training.epochs)


def least_epochs(preset: str) -> int:
    """Return how many phases a preset has: each takes an epoch or more."""
    return len(load_preset(preset, {}).phases)


def usual_epochs(preset: str) -> int:
    """Return the epochs of a preset."""
    return load_preset(preset, {}).epochs


def check_classes(training: OwnTraining, pictures: ClassFolders) -> None:
    """Raise `UserError` if a network that stays as it is tells other classes apart."""
    outputs = training.network.num_classes
    if training.preset == "frozen-exits" and len(pictures.classes) != outputs:
        raise UserError(
            f"expected {outputs} class folders, one for each output of the network, as it stays as "
            f"it is, but got {len(pictures.classes)}: train it for new classes instead, or bring "
            "pictures of its own classes."
        )


def _kept(test: ClassFolders, card: Card) -> ImageSet | None:
    spec = card.spec
    if len(test) * spec.image_size**2 * spec.in_channels > MOST_KEPT:
        return None
    transform = card.evaluation_transform
    pixels = np.stack([transform.pixels(test.picture(index)) for index in range(len(test))])
    return ImageSet.counted(card.dataset, "test", pixels, test.labels, card.classes)


def _watch(
    epochs: int, seconds: float, reports: list[EpochReport], on_progress: OnProgress
) -> Callable[[EpochReport], None]:
    end = time.monotonic() + seconds

    def on_epoch(report: EpochReport) -> None:
        reports.append(report)
        if time.monotonic() + seconds_left(reports, epochs) > end:
            raise UserError(
                f"expected {epochs} epochs within {seconds / 60:.0f} minutes, but one takes "
                f"{report.seconds:.0f} s: choose fewer epochs or pictures, smaller pictures, or a "
                "smaller network."
            )
        on_progress(len(reports) / epochs, f"Epoch {len(reports)} of {epochs}")

    return on_epoch
