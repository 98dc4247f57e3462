"""Labelled images of anybody's: read by workers, augmented on the device, never all in memory."""

from collections.abc import Iterator

import torch
from torch import Generator
from torch.utils.data import DataLoader

from core.data.labelled import Labelled, Reader, read
from core.foundation.errors import UserError
from core.networks.randomness import OwnGenerator
from core.training.augment import CropAndFlip
from core.training.data import Batch
from core.training.distributed import Workers


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
        for batch in self._batches(order):
            if len(batch.labels) == 1 < self.batch_size:
                continue  # one image left over has no batch statistics
            yield self._augmented(batch, augmentation, cutout)

    def view(self, seed: int) -> Iterator[Batch]:
        """Yield every image once, in order, augmented as in an epoch of that seed."""
        augmentation = Generator().manual_seed(seed)
        for batch in self._batches(None, seed):
            yield self._augmented(batch, augmentation, 0)

    def _augmented(self, batch: Batch, augmentation: Generator, cutout: int) -> Batch:
        pixels = batch.pixels
        if self.crop_pad or self.flip or cutout:
            crops = CropAndFlip(pixels, self.crop_pad, self.flip)
            (drawn,) = crops.draw(1, len(pixels), augmentation, cutout)
            pixels = crops.batch(torch.arange(len(pixels), device=pixels.device), drawn)
        return Batch(pixels, batch.labels)

    def whole(self) -> Iterator[Batch]:
        """Yield every image once, as it is."""
        return self._batches(None)

    def _batches(self, order: Generator | None, seed: int = 0) -> Iterator[Batch]:
        """Yield batches in a random order, or all images in their own if there is none."""
        indices = None
        if order is not None:
            seed = order.initial_seed()
            indices = torch.randperm(self.length, generator=order).tolist()
            self._seed_loader(seed)
        batches = read(
            self.source,
            self.reader,
            self.batch_size,
            order=indices,
            workers=self.workers,
            seed=seed,
            pin_memory=self.device.type == "cuda",
        )
        for pixels, labels in OwnGenerator(seed).during(batches):
            yield Batch(
                pixels.to(self.device, non_blocking=True),
                labels.to(self.device, non_blocking=True),
            )

    def _seed_loader(self, seed: int) -> None:
        """Let a DataLoader, which draws its order itself, draw it from a seed."""
        if isinstance(self.source, DataLoader):
            for owner in (self.source, self.source.sampler):
                if isinstance(generator := getattr(owner, "generator", None), Generator):
                    generator.manual_seed(seed)
