"""Models: a network with its card; classify pictures, make tables, save and load."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from core.data.labelled import Labelled, Reader
from core.data.pictures import PictureSet
from core.data.prepared import ImageSet, check_name
from core.data.transform import EvaluationTransform, Transform, UnstorableTransformError, apply
from core.exits.cost_controller import CostController
from core.exits.inference import BATCH_SIZE, Engine, Prediction, run_all_exits, run_with_skipping
from core.exits.policy import Policy
from core.exits.table import ExitTable, FloatArray, joined
from core.exits.table_file import MOST_CLASSES_IN_FULL, as_stored
from core.foundation.errors import UserError, nearest
from core.hub.card import Card, TrainingFacts, load_card
from core.hub.operating_points import with_figures
from core.hub.premise import OnNote, notes
from core.hub.registry import CARD, WEIGHTS, model_folder, shipped_table
from core.hub.storage import read_weights, write_model
from core.networks.build import build
from core.networks.constructors import Factory
from core.networks.cost import count
from core.networks.folding import folded
from core.networks.graphs import GraphedStages
from core.networks.network import ExitNetwork, Stages
from core.networks.normalisation import Normalisation, to_device
from core.training.device import checked_device
from core.training.sources import DECODERS
from core.training.start_from import TrainedNetwork
from core.training.stream import StreamedImages

Precision = Literal["float32", "bfloat16"]
PRECISIONS: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ENGINES = {"cpu": Engine(chunk=64, compaction_share=1 / 16), "cuda": Engine(largest_graph=512)}
"""How optimised networks run, by device; see docs/speed.md. Not measured: on a GPU."""
LARGE, LARGE_CHUNK = 128, 16
"""Side in pixels from which fewer images stay in a CPU's cache than `ENGINES` say, and how many."""

LARGEST_TABLE = 256 * 2**20
"""Bytes of probabilities up to which a table of encoded pictures keeps all classes."""

Images = NDArray[np.uint8] | Sequence[Image.Image]
"""Images uint8 (N, H, W, C) of the network's input size, or pictures of any size."""


@dataclass(frozen=True, eq=False)
class OwnTransform:
    """A user's transform that a card cannot store, and the reason in a sentence."""

    function: Transform
    reason: str


@dataclass(frozen=True, eq=False)
class Model:
    """A network with its card. Immutable after loading, so threads may share a model.

    Attributes:
        network: in eval mode.
        card: facts and figures of the model.
        folder: the folder it was loaded from; None for a model that is not saved.
        device: of the network.
        own_transform: used instead of the card's, in memory only.
        engine: how its stages are run.
        stages: the network's, run in another way; None: as they are.
    """

    network: ExitNetwork
    card: Card
    folder: Path | None
    device: torch.device
    own_transform: OwnTransform | None = None
    engine: Engine = field(default_factory=Engine)
    stages: Stages | None = None

    @classmethod
    def of(
        cls,
        network: ExitNetwork,
        classes: Sequence[str],
        transform: Transform | None = None,
        *,
        name: str = "",
        title: str = "",
        dataset: str = "own-images",
        method: str = "own",
    ) -> "Model":
        """Make a model of a trained network.

        Args:
            network: as `core.attach`, `core.fit` and `build` make it; it is put into eval mode.
            classes: the K names, in the order of the network's outputs.
            transform: evaluation transform from a picture to the network's input, as in
                torchvision. None: that of `core.fit`; for a network that `core.fit` did not train,
                the largest central square, resized and divided by 255.
            name: by default that of the folder it is saved in.
            title: by default the name.
            dataset: name of the prepared data set that it was trained on, if any.
            method: of training the exits, see `core.hub.methods.METHODS`.

        Raises:
            UserError: class names that do not fit the outputs, a transform that yields another
                shape than the network reads, or a network without a specification.
        """
        spec = network.spec
        names = tuple(map(str, classes))
        if len(names) != spec.num_classes or len(set(names)) != len(names):
            raise UserError(
                f"expected `classes` to be {spec.num_classes} different names, one per output of "
                f"the network, but got {len(names)}, {len(set(names))} of them different."
            )
        if spec.in_channels not in (1, 3):
            raise UserError(
                "expected a network that reads pictures, of 1 or 3 channels, but got one for "
                f"{spec.in_channels}: use it as an nn.Module."
            )
        check_name(dataset)
        own_transform = None
        shape = (spec.in_channels, spec.image_size, spec.image_size)
        result = network.training_result
        if transform is None and result is not None:
            transform = result.transform
            if transform is None:
                raise UserError(
                    "expected `transform`, as the network was trained on images that had been "
                    "normalised already, but got none: pass the transform of that data set."
                )
        zeros, ones = (0.0,) * spec.in_channels, (1.0,) * spec.in_channels
        stored = EvaluationTransform.square(spec.image_size, spec.in_channels, zeros, ones)
        if transform is not None:
            try:
                stored = EvaluationTransform.of(transform, shape)
            except UnstorableTransformError as error:
                own_transform = OwnTransform(transform, str(error))
        device = next(network.parameters()).device
        cost = count(network, spec.in_channels, spec.image_size)
        card = Card(
            name=name,
            title=title or name,
            method=method,
            dataset=dataset,
            spec=spec,
            exit_names=network.exit_names,
            classes=names,
            mean=stored.mean,
            std=stored.std,
            transform=stored,
            stage_macs=cost.stage_macs,
            head_macs=cost.head_macs,
            stage_parameters=cost.stage_parameters,
            head_parameters=cost.head_parameters,
            training=result and TrainingFacts.of(result),
        )
        return cls(network.eval(), card, None, device, own_transform)

    @property
    def name(self) -> str:
        """Name on the card."""
        return self.card.name

    @cached_property
    def transform(self) -> Transform:
        """Evaluation transform from a picture to the network's input, float32 (C, H, W)."""
        return self.own_transform.function if self.own_transform else self.card.evaluation_transform

    @cached_property
    def normalisation(self) -> Normalisation:
        """Normalisation of pixels, on the network's device."""
        return self.card.evaluation_transform.normalisation.to(self.device)

    def normalised(self, images: Images) -> Tensor:
        """Return images as the network reads them: float32 (N, C, H, W) on its device.

        Raises:
            UserError: an array of another type or shape.
        """
        channels, height, width = self._shape
        own = self.own_transform
        if isinstance(images, np.ndarray):
            if images.dtype != np.uint8 or images.shape[1:] != (height, width, channels):
                raise UserError(
                    f"expected `images` to be uint8 of shape (N, {height}, {width}, {channels}), "
                    f"but got {images.dtype} of shape {images.shape}: pass pictures (PIL) to have "
                    "them scaled."
                )
            if own is None:
                pixels = to_device(images, self.device)
                return self.normalisation(pixels)  # type: ignore[no-any-return]
            from torchvision.transforms.functional import to_pil_image  # takes seconds

            images = [to_pil_image(image) for image in images]
        if own is None:
            transform = self.card.evaluation_transform
            stacked = [transform.pixels(picture) for picture in images]
            return self.normalised(np.array(stacked, np.uint8).reshape(-1, height, width, channels))
        mode = "L" if channels == 1 else "RGB"
        inputs = [apply(own.function, picture.convert(mode), self._shape) for picture in images]
        return torch.stack(inputs).to(self.device)

    def table(
        self,
        images: Images | ImageSet | PictureSet | Labelled,
        labels: NDArray[np.int64] | None = None,
        ids: NDArray[np.int64] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> ExitTable:
        """Run every exit on every image, skipping nothing.

        Of a `PictureSet` with many classes, a table that would take more than `LARGEST_TABLE` bytes
        keeps the likeliest classes only, as on disk.

        Args:
            images: uint8 (N, H, W, C), or pictures; an `ImageSet` or `PictureSet`; or a torch
                Dataset or DataLoader of (image, label), read batch by batch, with images that
                `core.fit` takes.
            labels: (N,) true classes, if known; data sets have their own.
            ids: (N,) indices of the images in their data set; by default counted from 0.
            batch_size: does not change the result.

        Raises:
            UserError: no images, or images of another shape than the network reads.
        """
        if isinstance(images, ImageSet):
            labels, ids, images = images.labels, images.ids, images.images
        if isinstance(images, PictureSet):
            ids = images.ids
            if self.device.type == "cpu" and self.card.spec.image_size >= LARGE:
                batch_size = min(batch_size, LARGE_CHUNK)
            if len(images) > (part := self._most_in_full()):
                parts = range(0, len(images), part)
                tables = [
                    self.table(images.select(range(first, min(first + part, len(images)))))
                    for first in parts
                ]
                return joined([table.truncated() for table in tables])
        if isinstance(images, Dataset | DataLoader):
            read: list[NDArray[np.int64]] = []
            batches = self._streamed(images, batch_size, read)
            probabilities, confidence = run_all_exits(self.network, batches)
            labels = np.concatenate(read)
        else:
            batches = self._batches(images, min(batch_size, self.engine.chunk or batch_size))
            probabilities, confidence = run_all_exits(self.network, batches)
        count = len(probabilities)
        return ExitTable(
            probabilities=probabilities,
            confidence=confidence,
            labels=np.full(count, -1) if labels is None else labels,
            ids=np.arange(count) if ids is None else ids,
            costs=self.card.costs,
            classes=self.card.classes,
        )

    @torch.inference_mode()
    def features(self, images: Images | ImageSet | PictureSet) -> FloatArray:
        """Return what the last stage puts out for each image, averaged over its maps: (N, C).

        Args:
            images: uint8 (N, H, W, C), or pictures; an `ImageSet` or `PictureSet`.

        Raises:
            UserError: no images, or images of another shape than the network reads.
        """
        if isinstance(images, PictureSet):
            batches = self._streamed(images, LARGE_CHUNK, [])
        else:
            pixels = images.images if isinstance(images, ImageSet) else images
            batches = self._batches(pixels, self.engine.chunk or BATCH_SIZE)
        trunk, last = self.network.trunk, self.card.num_exits - 1
        parts = [
            self.network.to_map(last, trunk.run(batch.to(self.network.dtype), 0, len(trunk.names)))
            .float()
            .mean(dim=(2, 3))
            .cpu()
            .numpy()
            for batch in batches
        ]
        return np.concatenate(parts)

    def _most_in_full(self) -> int:
        """Return of how many images a table may keep all classes: of any number if they are few."""
        count = len(self.card.classes)
        if count <= MOST_CLASSES_IN_FULL:
            return sys.maxsize
        return max(LARGEST_TABLE // (4 * self.card.num_exits * count), 1)

    def predict(
        self,
        images: Images | PictureSet,
        policy: Policy | CostController | None = None,
        batch_size: int = BATCH_SIZE,
        on_batch: Callable[[int], None] = lambda done: None,
    ) -> Prediction:
        """Classify images with early exits: stages after a sample's exit are not run for it.

        Args:
            images: uint8 (N, H, W, C), or pictures, or a `PictureSet`, which is decoded by workers
                while the network runs.
            policy: by default the card's. A controller sets the thresholds anew after every
                batch, and goes on from where it stands.
            batch_size: changes answers, exits and costs only under a controller.
            on_batch: called after each batch with the number of images done.

        Raises:
            UserError: a policy for another number of exits, or images of another shape.
        """
        if isinstance(images, PictureSet):
            batches = self._streamed(images, batch_size, [])
        else:
            batches = self._batches(images, batch_size)
        return run_with_skipping(
            self.stages or self.network,
            batches,
            policy or self.card.default_policy,
            self.card.costs,
            on_batch,
            self.engine,
        )

    def optimised(self, precision: Precision = "float32") -> "Model":
        """Return the model for inference only: the same answers in less time.

        Batch norms are folded into convolutions and weights are laid out channels last. On a CPU a
        batch runs in chunks that fit into its cache, on a GPU small batches run as recorded graphs.

        Args:
            precision: "float32": logits differ by rounding only. "bfloat16": twice as fast on
                CPUs that compute with it; measure what changes (`core bench --precision`), and
                tune thresholds on the optimised model's own table.

        Raises:
            UserError: an unknown precision.
        """
        if precision not in PRECISIONS:
            raise UserError(
                f"expected `precision` to be one of {', '.join(PRECISIONS)}, but got "
                f"{precision!r}.{nearest(str(precision), PRECISIONS)}"
            )
        network = folded(self.network).to(PRECISIONS[precision])
        network = network.to(memory_format=torch.channels_last)
        engine = ENGINES[self.device.type]
        if engine.chunk is not None and self.card.spec.image_size >= LARGE:
            engine = replace(engine, chunk=LARGE_CHUNK)
        stages = GraphedStages(network, engine.largest_graph) if engine.largest_graph else None
        return replace(self, network=network, engine=engine, stages=stages)

    def shipped_table(self, split: str) -> ExitTable:
        """Return the table of "calibration" or "test" that the model was saved with."""
        if self.folder is None:
            raise UserError(
                f"expected a saved model to have a table of the {split} split, but this one is not "
                "saved: make the table with `model.table`."
            )
        return shipped_table(self.folder, split)

    def save(
        self,
        folder: str | Path,
        calibration: ExitTable | ImageSet | PictureSet | Labelled | None = None,
        test: ExitTable | ImageSet | PictureSet | Labelled | None = None,
        policy: Policy | None = None,
        *,
        learned_from: bool = False,
        on_note: OnNote | None = None,
    ) -> "Model":
        """Save weights, card and tables in a folder, atomically.

        Args:
            folder: new, or a model's folder, which is replaced. A model without a name gets that
                of the folder.
            calibration: a table, or labelled images to make it from; operating points are chosen
                on it.
            test: likewise; operating points are reported on it.
            policy: the model's default policy; None: that of the operating point that may lose
                the least accuracy.
            learned_from: whether the network, before it had exits, learned from the calibration
                images.
            on_note: told what the calibration images cannot carry, see `core.hub.premise`; by
                default a Python warning.

        Returns:
            The saved model.

        Raises:
            UserError: a transform that a card cannot store, a table of another network, a policy
                for another number of exits, or a folder with other files.
        """
        if self.own_transform is not None:
            raise UserError(self.own_transform.reason)
        folder = Path(folder)
        if policy is not None:
            policy.check(self.card.num_exits)
        tables = {
            split: self._own_table(split, source)
            for split, source in (("calibration", calibration), ("test", test))
            if source is not None
        }
        for note in notes(tables.get("calibration"), tables.get("test"), learned_from):
            if on_note is None:
                warnings.warn(note, stacklevel=2)
            else:
                on_note(note)
        absolute = folder.resolve()  # in runs/NAME/model, the registry's name is NAME
        name = self.card.name or (absolute.parent if absolute.name == "model" else absolute).name
        card = self.card.model_copy(update={"name": name, "title": self.card.title or name})
        card = write_model(folder, self.network, with_figures(card, tables, policy), tables)
        return replace(self, card=card, folder=folder)

    def _own_table(
        self, split: str, source: ExitTable | ImageSet | PictureSet | Labelled
    ) -> ExitTable:
        table = source if isinstance(source, ExitTable) else self.table(source)
        if (table.num_exits, table.classes) != (self.card.num_exits, self.card.classes):
            raise UserError(
                f"expected `{split}` to be a table of {self.card.num_exits} exits and the model's "
                f"{len(self.card.classes)} classes, but got {table.num_exits} exits and "
                f"{table.num_classes} classes: make it with `model.table`."
            )
        return as_stored(table)  # policies are chosen on the values that the file keeps

    def _streamed(
        self, source: Labelled, batch_size: int, labels: list[NDArray[np.int64]]
    ) -> Iterator[Tensor]:
        """Yield a data set's images as the network reads them; append its labels to ``labels``."""
        reader = Reader("the images", self._shape, len(self.card.classes), self.transform)
        workers = DECODERS if isinstance(source, PictureSet) else 0
        for batch in StreamedImages(source, reader, self.device, batch_size, workers).whole():
            labels.append(batch.labels.cpu().numpy())
            normalised = batch.pixels.is_floating_point()
            yield batch.pixels if normalised else self.normalisation(batch.pixels)

    def _batches(self, images: Images, batch_size: int) -> Iterator[Tensor]:
        if not len(images):
            raise UserError("expected `images` to hold at least one image, but got none.")
        for first in range(0, len(images), batch_size):
            yield self.normalised(images[first : first + batch_size])

    @property
    def _shape(self) -> tuple[int, int, int]:
        """(C, H, W) that the network reads."""
        spec = self.card.spec
        return spec.in_channels, spec.image_size, spec.image_size


def load(name_or_folder: str | Path, device: str = "cpu", factory: Factory | None = None) -> Model:
    """Load a model by its name, or from its folder.

    Args:
        name_or_folder: of the model.
        device: "cpu" or "cuda".
        factory: makes the module of a network of your own, as it was given to `core.attach`; by
            default the function that `$EENET_FACTORY` names. A card has its name only.

    Raises:
        UserError: no such model; weights that are missing, damaged or not the card's; a missing
            device; or a network of one's own without a factory.
    """
    folder = model_folder(name_or_folder)
    card = load_card(folder / CARD)
    network = build(card.spec, factory)
    try:
        weights = read_weights(folder / WEIGHTS, card, network)
    except UserError:
        if load_card(folder / CARD) == card:
            raise
        return load(folder, device, factory)  # it was saved anew between card and weights
    network.load_state_dict(weights)
    checked = checked_device(device)
    network = network.to(checked).eval().requires_grad_(False)
    return Model(network, card, folder, checked)


def trained(name_or_folder: str | Path) -> TrainedNetwork:
    """Return a model's network, to start a training from or to teach one.

    Raises:
        UserError: as `load`.
    """
    model = load(name_or_folder)
    return TrainedNetwork(model.network, model.card.spec, model.normalisation)
