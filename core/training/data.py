"""Where a training takes its batches from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Generator, Tensor

from core.data.pictures import PictureSet
from core.data.prepared import ImageSet
from core.foundation.errors import UserError
from core.networks.normalisation import to_device
from core.networks.spec import NetworkSpec
from core.training.augment import CropAndFlip
from core.training.distributed import Workers

EVALUATION_BATCH = 500


@dataclass(frozen=True, eq=False)
class Batch:
    """Images with their labels, on the device.

    Attributes:
        pixels: (B, C, H, W), uint8, or float32 where they are normalised already.
        labels: int64 (B,).
        indices: (B,) places of the images in their set, where the source knows.
        features: what `ExitNetwork.start` makes of the images, where it is known already; the
            pixels are empty then.
        known: logits (B, K) of the teacher, likewise.
        tags: (B,) the exit each image is assigned to, where the loss needs it.
    """

    pixels: Tensor
    labels: Tensor
    indices: Tensor | None = None
    features: tuple[Tensor, ...] | None = None
    known: Tensor | None = None
    tags: Tensor | None = None

    def tensors(self) -> list[Tensor]:
        """Return all that it holds."""
        single = (self.pixels, self.labels, self.indices, self.known, self.tags)
        return [part for part in (*single, *(self.features or ())) if part is not None]

    def copy(self) -> "Batch":
        """Return the same in other places of memory."""
        copied = {
            name: part.clone() for name, part in vars(self).items() if isinstance(part, Tensor)
        }
        features = self.features and tuple(part.clone() for part in self.features)
        return replace(self, features=features, **copied)


class Source(Protocol):
    """Labelled images, batch by batch."""

    batch_size: int

    @property
    def steps(self) -> int:
        """Batches per epoch."""

    def epoch(
        self, order: Generator, augmentation: Generator, cutout: int, workers: Workers
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch, or a worker's share of each.

        Args:
            order: decides the order of the images; on the CPU.
            augmentation: decides crops, mirror images and cutouts; on the CPU.
            cutout: side of the square that is hidden in each image; 0 for none.
            workers: this process among those that train together.
        """

    def whole(self) -> Iterator[Batch]:
        """Yield every image once, in order and as it is."""


class WholeBatches:
    """Images of which an epoch takes whole batches, in an order of its own.

    Attributes:
        labels: (N,).
        batch_size: of the batches of an epoch.
    """

    labels: Tensor
    batch_size: int

    @property
    def steps(self) -> int:
        """Batches per epoch: only whole ones."""
        return len(self.labels) // self.batch_size

    def shuffled(self, order: Generator) -> Sequence[Tensor]:
        """Return the indices (B,) of each batch of an epoch."""
        indices = torch.randperm(len(self.labels), generator=order)
        return torch.split(indices, self.batch_size)[: self.steps]


class DeviceImages(WholeBatches):
    """Images that all lie on the device, as bytes; augmented there, a batch at a time."""

    def __init__(
        self,
        images: ImageSet,
        device: torch.device,
        batch_size: int = EVALUATION_BATCH,
        crop_pad: int = 0,
        flip: bool = False,
    ) -> None:
        """Copy the images to the device; see `CropAndFlip` for ``crop_pad`` and ``flip``."""
        self.crops = CropAndFlip(to_device(images.images, device), crop_pad, flip)
        self.labels = torch.from_numpy(images.labels).to(device)
        self.batch_size = min(batch_size, len(images))

    def epoch(
        self, order: Generator, augmentation: Generator, cutout: int, workers: Workers
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch, see `Source`."""
        shares = torch.stack([workers.share(chosen) for chosen in self.shuffled(order)])
        shares = shares.to(self.labels.device)
        drawn = self.crops.draw(self.steps, shares.shape[1], augmentation, cutout)
        for indices, crops in zip(shares, drawn, strict=True):
            yield Batch(self.crops.batch(indices, crops), self.labels[indices], indices)

    def whole(self) -> Iterator[Batch]:
        """Yield every image once, in order and as it is."""
        for indices in torch.split(torch.arange(len(self.labels)), EVALUATION_BATCH):
            indices = indices.to(self.labels.device)
            yield Batch(self.crops.originals(indices), self.labels[indices], indices)


def check_images(images: ImageSet | PictureSet, spec: NetworkSpec, whose: str) -> None:
    """Raise `UserError` unless images have the size and classes of a network, ``whose`` it is."""
    if isinstance(images, PictureSet):
        if images.num_classes != spec.num_classes:
            raise UserError(
                f"expected the data set {images.name} to have {spec.num_classes} classes as "
                f"{whose} says, but got {images.num_classes}: correct one of the two."
            )
        return
    height, width, channels = images.images.shape[1:]
    ours = (spec.image_size, spec.image_size, spec.in_channels, spec.num_classes)
    theirs = (height, width, channels, len(images.classes))
    if ours != theirs:
        raise UserError(
            f"expected the data set {images.name} to have images of {ours[0]}×{ours[1]} pixels, "
            f"{ours[2]} channels and {ours[3]} classes as {whose} says, but got "
            f"{theirs[0]}×{theirs[1]}, {theirs[2]} and {theirs[3]}: correct one of the two."
        )
