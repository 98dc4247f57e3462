"""Labelled images of anybody's: read by workers, augmented on the device, never all in memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import to_pil_image

from core.data.labelled import Labelled, labelled_batches
from core.data.transform import EvaluationTransform, Transform, apply
from core.foundation.errors import UserError
from core.training.augment import CropAndFlip
from core.training.data import Batch
from core.training.distributed import Workers


@dataclass(frozen=True)
class Reader:
    """Turns an image of whichever kind into a tensor, and checks it and its label.

    Attributes:
        name: of the data, in messages.
        shape: (C, H, W) that the network reads.
        num_classes: K.
        transform: how a picture becomes what the network reads.
    """

    name: str
    shape: tuple[int, int, int]
    num_classes: int
    transform: EvaluationTransform | Transform

    def image(self, image: object, index: int) -> Tensor:
        """Return an image as a tensor of ``shape``: uint8, or float32 if it is normalised already.

        Args:
            image: a picture (PIL), uint8 (H, W, C) as an array or (C, H, W) as a tensor, or a
                floating tensor (C, H, W), which is taken as it is.
            index: of the image in the data, for messages.

        Raises:
            UserError: it is something else, has another shape, or is not finite.
        """
        if isinstance(image, np.ndarray) and image.dtype == np.uint8:
            pixels = image[..., None] if image.ndim == 2 else image
            image = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)))
        own = not isinstance(self.transform, EvaluationTransform)
        if own and isinstance(image, Tensor) and image.dtype == torch.uint8:
            image = to_pil_image(image)
        if isinstance(image, Image.Image):
            image = self._picture(image)
        if not isinstance(image, Tensor) or not (
            image.dtype == torch.uint8 or image.is_floating_point()
        ):
            raise UserError(
                f"expected image {index} of {self.name} to be a picture (PIL), uint8, or a float "
                f"tensor that is normalised already, but got {_kind(image)}."
            )
        if image.shape != self.shape:
            raise UserError(
                f"expected image {index} of {self.name} to have the shape {self.shape} that the "
                f"network reads, but got {tuple(image.shape)}: resize it in the data set, or let "
                "it give pictures (PIL)."
            )
        if image.is_floating_point() and not image.isfinite().all():
            raise UserError(
                f"expected image {index} of {self.name} to be finite, but it has NaN or infinite "
                "values: look at the file and its transform."
            )
        return image if image.dtype == torch.uint8 else image.float()

    def _picture(self, picture: Image.Image) -> Tensor:
        if isinstance(self.transform, EvaluationTransform):
            return torch.from_numpy(self.transform.pixels(picture)).permute(2, 0, 1)
        mode = "L" if self.shape[0] == 1 else "RGB"
        return apply(self.transform, picture.convert(mode), self.shape)

    def label(self, label: object, index: int) -> int:
        """Return a label as a number. Raises `UserError` unless it is one of the K classes."""
        try:
            number = int(label)  # type: ignore[call-overload]
            whole = number == label
        except (TypeError, ValueError, RuntimeError):
            whole = False
        if not whole or not 0 <= number < self.num_classes:
            raise UserError(
                f"expected the label of image {index} of {self.name} to be a class from 0 to "
                f"{self.num_classes - 1}, as the network has {self.num_classes} classes, but got "
                f"{label!r}: renumber the labels, or attach exits with `num_classes`."
            )
        return int(number)

    def batch(self, images: Iterable[object], labels: Iterable[object], first: int) -> "Read":
        """Return images and labels as tensors (B, C, H, W) and (B,); ``first`` is their index."""
        tensors = [self.image(image, first + number) for number, image in enumerate(images)]
        numbers = [self.label(label, first + number) for number, label in enumerate(labels)]
        return _stacked(tensors, numbers, self.name)


Read = tuple[Tensor, Tensor]
"""Images (B, C, H, W) and labels (B,)."""


class _ReadDataset(Dataset[tuple[Tensor, int] | str]):
    """A data set whose images are read: workers' mistakes come as sentences, not as tracebacks."""

    def __init__(self, source: Dataset[Any], reader: Reader) -> None:
        self.source, self.reader = source, reader

    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[Tensor, int] | str:
        item = self.source[index]
        try:
            if not isinstance(item, tuple | list) or len(item) != 2:
                raise UserError(
                    f"expected pairs of (image, label) in {self.reader.name}, but item {index} is "
                    f"{_kind(item)}: make the data set give both."
                )
            return self.reader.image(item[0], index), self.reader.label(item[1], index)
        except UserError as mistake:
            return str(mistake)

    def collate(self, items: Sequence[tuple[Tensor, int] | str]) -> Read | str:
        """Put a batch together in the worker: one tensor travels more cheaply than many."""
        for item in items:
            if isinstance(item, str):
                return item
        images, labels = zip(*items, strict=True)
        try:
            return _stacked(images, labels, self.reader.name)
        except UserError as mistake:
            return str(mistake)


def _stacked(images: Sequence[Tensor], labels: Sequence[int], name: str) -> Read:
    if len({image.dtype for image in images}) > 1:
        raise UserError(
            f"expected the images of {name} to be of one kind, but some are bytes and some are "
            "normalised already: make them all alike."
        )
    return torch.stack(list(images)), torch.tensor(labels)


def _kind(value: object) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return type(value).__name__


class StreamedImages:
    """A data set or DataLoader as a `Source`; no more than a few batches are in memory at once.

    The order of a Dataset is drawn anew for each epoch. A DataLoader keeps its own batches; what
    it draws at random is drawn from the epoch's seed, so that a resumed run repeats it.
    """

    def __init__(
        self,
        source: Labelled,
        reader: Reader,
        device: torch.device,
        batch_size: int,
        workers: int = 0,
        crop_pad: int = 0,
        flip: bool = False,
    ) -> None:
        """Take labelled images.

        Args:
            source: of (image, label).
            reader: turns them into tensors.
            device: where the batches go.
            batch_size: of the batches that a Dataset is cut into.
            workers: processes that read a Dataset; a DataLoader has its own.
            crop_pad: see `CropAndFlip`.
            flip: likewise.

        Raises:
            UserError: the source has no length, or no image.
        """
        self.source, self.reader, self.device = source, reader, device
        self.workers, self.crop_pad, self.flip = workers, crop_pad, flip
        try:
            self.length = len(source)  # type: ignore[arg-type]
        except (TypeError, NotImplementedError):
            raise UserError(
                f"expected {reader.name} to have a length, but {type(source).__name__} has none: "
                "make it a Dataset with `__len__` and `__getitem__`."
            ) from None
        if not self.length:
            raise UserError(f"expected {reader.name} to hold images, but it is empty.")
        own = source.batch_size if isinstance(source, DataLoader) else None
        self.batch_size = own or min(batch_size, self.length)

    @property
    def steps(self) -> int:
        """Batches per epoch; of a Dataset, only whole ones."""
        return (
            self.length if isinstance(self.source, DataLoader) else self.length // self.batch_size
        )

    def epoch(
        self, order: Generator, augmentation: Generator, cutout: int, workers: Workers
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch, see `Source`; one process only."""
        for images, labels in self._loaded(order):
            pixels = images.to(self.device, non_blocking=True)
            if self.crop_pad or self.flip or cutout:
                crops = CropAndFlip(pixels, self.crop_pad, self.flip)
                pixels = crops.batch(torch.arange(len(pixels)), augmentation, cutout)
            yield Batch(pixels, labels.to(self.device, non_blocking=True))

    def whole(self) -> Iterator[Batch]:
        """Yield every image once, as it is."""
        for images, labels in self._loaded(None):
            yield Batch(
                images.to(self.device, non_blocking=True),
                labels.to(self.device, non_blocking=True),
            )

    def _loaded(self, order: Generator | None) -> Iterator[Read]:
        """Yield batches: whole ones in a random order, or all in order if there is none."""
        if isinstance(self.source, DataLoader):
            yield from self._from_loader(self.source, order)
            return
        data = _ReadDataset(self.source, self.reader)
        seed = 0 if order is None else order.initial_seed()
        loader = DataLoader(
            data,
            self.batch_size,
            sampler=None if order is None else torch.randperm(len(data), generator=order).tolist(),
            drop_last=order is not None,
            num_workers=self.workers,
            collate_fn=data.collate,
            pin_memory=self.device.type == "cuda",
            generator=Generator().manual_seed(seed),
        )
        for batch in loader:
            if isinstance(batch, str):
                raise UserError(batch)
            yield batch[0], batch[1]

    def _from_loader(self, loader: "DataLoader[Any]", order: Generator | None) -> Iterator[Read]:
        if order is not None:
            seed = order.initial_seed()
            torch.manual_seed(seed)
            for owner in (loader, loader.sampler):
                if isinstance(generator := getattr(owner, "generator", None), Generator):
                    generator.manual_seed(seed)
        first = 0
        for images, labels in labelled_batches(loader):
            if order is None or len(labels) > 1 or self.steps == 1:  # one has no batch statistics
                yield self.reader.batch(images, labels.tolist(), first)
            first += len(labels)
