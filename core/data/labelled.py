"""Labelled pictures in a torch Dataset or DataLoader of the user's, read batch by batch."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from core.data.transform import EvaluationTransform, Transform, apply
from core.foundation.errors import UserError

Labelled = Dataset[Any] | DataLoader[Any]
"""Items, or batches, of (picture, label)."""
Read = tuple[Tensor, Tensor]
"""Images (B, C, H, W) and labels (B,)."""


@dataclass(frozen=True)
class Reader:
    """Turns pictures of whichever kind into tensors, and checks them and their labels.

    Attributes:
        name: of the data, in messages.
        shape: (C, H, W) that the network reads.
        num_classes: K.
        transform: how a picture becomes what the network reads; None where no picture does.
    """

    name: str
    shape: tuple[int, int, int]
    num_classes: int
    transform: Transform | None

    def image(self, image: object, index: int) -> Tensor:
        """Return an image as a tensor of ``shape``: uint8, or float32 if it is normalised already.

        Args:
            image: a picture (PIL) of any size, bytes of the network's size (uint8, (H, W, C) as an
                array or (C, H, W) as a tensor), or a float tensor (C, H, W), which is taken as
                normalised already.
            index: of the image, for messages.

        Raises:
            UserError: it is something else, has another shape, or is not finite.
        """
        if isinstance(image, np.ndarray) and image.dtype == np.uint8:
            pixels = image[..., None] if image.ndim == 2 else image
            image = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)))
        if self.transform is not None:
            image = self._read(image, self.transform)
        if not isinstance(image, Tensor) or not (
            image.is_floating_point() or (image.dtype == torch.uint8 and self.transform is not None)
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

    def label(self, label: Any, index: int) -> int:
        """Return a label as a number. Raises `UserError` unless it is one of the K classes."""
        try:
            number = int(label)
            exact = bool(number == label)
        except (TypeError, ValueError, RuntimeError):
            number, exact = -1, False
        if not exact or not 0 <= number < self.num_classes:
            raise UserError(
                f"expected the label of image {index} of {self.name} to be a class from 0 to "
                f"{self.num_classes - 1}, as the network has {self.num_classes} classes, but got "
                f"{label!r}: number the classes 0, 1, 2, …"
            )
        return number

    def images(self, images: Iterable[object], first: int = 0) -> Tensor:
        """Return images, see `image`, as one tensor (B, C, H, W); count them from ``first``."""
        if isinstance(images, Tensor) and images.shape[1:] == self.shape:
            in_bytes = images.dtype == torch.uint8 and isinstance(
                self.transform, EvaluationTransform
            )
            if in_bytes or (images.dtype == torch.float32 and images.isfinite().all()):
                return images
        return self.stack([self.image(image, first + at) for at, image in enumerate(images)])

    def stack(self, images: Sequence[Tensor]) -> Tensor:
        """Stack images to a batch. Raises `UserError` unless they are of one kind."""
        if len({image.dtype for image in images}) > 1:
            raise UserError(
                f"expected the images of {self.name} to be of one kind, but some are bytes and "
                "some are normalised already: make them all alike."
            )
        return torch.stack(list(images)) if images else torch.zeros(0, *self.shape).byte()

    def batch(self, batch: object, first: int) -> Read:
        """Return a DataLoader's batch of (images, labels); ``first`` is the first image's index.

        Raises:
            UserError: it is no pair, or something in it does not fit.
        """
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise self._no_pair(batch)
        images, labels = batch
        numbers = [self.label(label, first + number) for number, label in enumerate(labels)]
        return self.images(images, first), torch.tensor(numbers)

    def item(self, item: object, index: int) -> tuple[Tensor, int]:
        """Return a Dataset's (image, label). Raises `UserError` as `batch`."""
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise self._no_pair(item)
        return self.image(item[0], index), self.label(item[1], index)

    def _read(self, image: object, transform: Transform) -> object:
        """Return a picture as the transform reads it; tensors are ready as they are."""
        known = isinstance(transform, EvaluationTransform)
        if isinstance(image, Tensor) and image.dtype == torch.uint8 and not known:
            from torchvision.transforms.functional import to_pil_image  # takes seconds

            image = to_pil_image(image)
        if not isinstance(image, Image.Image):
            return image
        if isinstance(transform, EvaluationTransform):
            return torch.from_numpy(transform.pixels(image)).permute(2, 0, 1)
        return apply(transform, image.convert("L" if self.shape[0] == 1 else "RGB"), self.shape)

    def _no_pair(self, item: object) -> UserError:
        return UserError(
            f"expected pairs of (image, label) in {self.name}, but got {_kind(item)}: make the "
            "data set give both."
        )


def read(
    source: Labelled,
    reader: Reader,
    batch_size: int,
    *,
    order: Sequence[int] | None = None,
    workers: int = 0,
    seed: int = 0,
    pin_memory: bool = False,
) -> Iterator[Read]:
    """Yield images and labels, no more at once than a few batches.

    Args:
        source: a Dataset of (image, label), or a DataLoader, whose own batches, order and workers
            are used.
        reader: turns them into tensors.
        batch_size: of the batches that a Dataset is cut into.
        order: which images of a Dataset, in which order, in whole batches only; by default all.
        workers: processes that read a Dataset; none for this one.
        seed: of what the Dataset draws at random in workers.
        pin_memory: whether the batches go to a GPU.

    Raises:
        UserError: something in the data does not fit; names the first such image.
    """
    if isinstance(source, DataLoader):
        yield from _from_loader(source, reader)
        return
    data = _ReadItems(source, reader)
    loader = DataLoader(
        data,
        batch_size,
        sampler=order,
        drop_last=order is not None,
        num_workers=workers,
        collate_fn=data.collate,
        generator=Generator().manual_seed(seed),
        pin_memory=pin_memory,
    )
    for batch in loader:
        if isinstance(batch, str):
            raise UserError(batch)
        yield batch[0], batch[1]


def _from_loader(loader: "DataLoader[Any]", reader: Reader) -> Iterator[Read]:
    first, batches = 0, iter(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except TypeError as error:
            raise UserError(
                f"expected a DataLoader that puts images and labels together, but it fails "
                f"({str(error).splitlines()[0]}): pass the Dataset itself, or a `collate_fn`."
            ) from None
        images, labels = reader.batch(batch, first)
        yield images, labels
        first += len(labels)


class _ReadItems(Dataset[tuple[Tensor, int] | str]):
    """A data set whose images are read; what does not fit is a sentence, as workers cannot raise.

    An error of theirs comes with a traceback in its message.
    """

    def __init__(self, source: Dataset[Any], reader: Reader) -> None:
        self.source, self.reader = source, reader

    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[Tensor, int] | str:
        item = self.source[index]
        try:
            return self.reader.item(item, index)
        except UserError as mistake:
            return str(mistake)

    def collate(self, items: Sequence[tuple[Tensor, int] | str]) -> Read | str:
        """Collate a batch here, as workers send one tensor faster than many."""
        good = [item for item in items if not isinstance(item, str)]
        if len(good) < len(items):
            return next(item for item in items if isinstance(item, str))
        try:
            images = self.reader.stack([image for image, _ in good])
        except UserError as mistake:
            return str(mistake)
        return images, torch.tensor([label for _, label in good])


def _kind(value: object) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return type(value).__name__
