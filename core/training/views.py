"""Features of frozen blocks, computed once for some augmented versions of every image."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from core.training.data import EVALUATION_BATCH, Batch, WholeBatches
from core.training.distributed import Workers

Compute = Callable[[Batch], tuple[Tensor, ...]]
"""What is kept of a batch of images: tensors (B, …), the last of them the teacher's logits."""
LABELS = "labels"


class FrozenViews(WholeBatches):
    """Images of which only features are kept, in files that are mapped into memory.

    They are in half precision. An epoch takes one view of each image, drawn anew.
    """

    def __init__(
        self,
        views: Iterable[Iterable[Batch]],
        count: int,
        compute: Compute,
        folder: Path,
        device: torch.device,
        batch_size: int,
    ) -> None:
        """Compute what is not in the folder yet.

        Args:
            views: each yields every image once, in the same order.
            count: of the images.
            compute: makes what is kept of a batch.
            folder: for a folder of files per view.
            device: where batches go.
            batch_size: of the batches of an epoch.
        """
        self.device, self.batch_size = device, min(batch_size, count)
        self.views = [
            _kept(view, count, compute, folder / f"view{number}")
            for number, view in enumerate(views)
        ]
        self.labels = torch.from_numpy(np.array(self.views[0].pop()))

    def epoch(
        self, order: Generator, augmentation: Generator, cutout: int, workers: Workers
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch, see `Source`; one process only."""
        views = torch.randint(len(self.views), (len(self.labels),), generator=augmentation)
        for indices in self.shuffled(order):
            yield self._batch(indices, views[indices])

    def whole(self) -> Iterator[Batch]:
        """Yield the first view of every image, in order."""
        for indices in torch.split(torch.arange(len(self.labels)), EVALUATION_BATCH):
            yield self._batch(indices, torch.zeros_like(indices))

    def _batch(self, indices: Tensor, views: Tensor) -> Batch:
        pairs = list(zip(views.tolist(), indices.tolist(), strict=True))
        *features, known = (
            torch.from_numpy(np.stack([self.views[view][part][row] for view, row in pairs]))
            .to(self.device)
            .float()
            for part in range(len(self.views[0]))
        )
        return Batch(
            pixels=torch.empty(0, device=self.device),
            labels=self.labels[indices].to(self.device),
            indices=indices.to(self.device),
            features=tuple(one.movedim(-1, 1) for one in features),
            known=known if known.shape[1] else None,
        )


def _kept(view: Iterable[Batch], count: int, compute: Compute, folder: Path) -> list[NDArray[Any]]:
    """Return the tensors of a view, channels last, and its labels; compute them if need be."""
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write(view, count, compute, partial)
        partial.rename(folder)
    return [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))]


@torch.no_grad()
def _write(view: Iterable[Batch], count: int, compute: Compute, folder: Path) -> None:
    files: list[NDArray[Any]] = []
    labels, first = [], 0
    for batch in view:
        parts = [part.movedim(1, -1).half().cpu().numpy() for part in compute(batch)]
        files = files or [
            np.lib.format.open_memmap(
                folder / f"{number:02}.npy", "w+", part.dtype, (count, *part.shape[1:])
            )
            for number, part in enumerate(parts)
        ]
        for file, part in zip(files, parts, strict=True):
            file[first : first + len(part)] = part
        labels.append(batch.labels.cpu().numpy())
        first += len(labels[-1])
    np.save(folder / f"{LABELS}.npy", np.concatenate(labels))
