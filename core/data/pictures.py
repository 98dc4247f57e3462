"""Labelled pictures of any size that stay encoded, and are decoded one by one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch.utils.data import Dataset

from core.data.class_names import first_synonyms
from core.data.images import open_image
from core.data.parquet import ParquetRows
from core.data.transform import EvaluationTransform
from core.foundation.errors import UserError


class Rows(Protocol):
    """Encoded pictures by their row."""

    def encoded(self, row: int) -> bytes:
        """Return a picture's file. Raises `UserError` when it cannot be read."""

    def path(self, row: int) -> str:
        """Return the name that a picture had as a file; "" where none is known."""


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Pictures in files of their own, a row each."""

    files: tuple[Path, ...]

    def encoded(self, row: int) -> bytes:
        """Return the bytes of a file, see `Rows`."""
        try:
            return self.files[row].read_bytes()
        except OSError as error:
            raise UserError(
                f"expected {self.files[row]} to be readable, but got: {error.strerror or error}."
            ) from None

    def path(self, row: int) -> str:
        """Return the path of a file."""
        return str(self.files[row])


@dataclass(frozen=True, eq=False)
class PictureSet(Dataset[tuple[Image.Image, int]]):
    """Labelled pictures of any size, none of them in memory.

    Worker processes may share it: ``[i]`` decodes a picture where it is called.

    Attributes:
        name: of the data set, for example ``photos``.
        split: of the data set, for example ``calibration``.
        rows: the encoded pictures.
        labels: (N,) int64 in [0, K).
        classes: K class names, indexed by label.
        ids: (N,) int64, the row of each picture.
    """

    name: str
    split: str
    rows: Rows
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """Return a picture and its label.

        Raises:
            UserError: the picture, or its file, is damaged.
        """
        return self.picture(index), int(self.labels[index])

    def picture(self, index: int) -> Image.Image:
        """Return a picture; raises as ``[index]`` does."""
        row = int(self.ids[index])
        called = self.rows.path(row) or f"row {row} of {self.name} ({self.split})"
        return open_image(self.rows.encoded(row), called).image

    def pixels(self, index: ArrayLike, transform: EvaluationTransform) -> NDArray[np.uint8]:
        """Return some pictures as a network reads them: (len(index), H, W, C) uint8."""
        return np.stack([transform.pixels(self.picture(place)) for place in np.asarray(index)])

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.classes)

    def select(self, index: ArrayLike) -> "PictureSet":
        """Return the pictures at ``index`` (integers in any order, or a boolean mask (N,))."""
        chosen = np.asarray(index)
        if chosen.size == 0 and chosen.dtype != np.bool_:
            chosen = chosen.astype(np.int64)
        return replace(self, labels=self.labels[chosen], ids=self.ids[chosen])

    def contents(self) -> Iterator[bytes]:
        """Yield the pictures' encoded bytes, in their order."""
        return (self.rows.encoded(int(row)) for row in self.ids)


def read_picture_set(files: list[Path], name: str, split: str) -> PictureSet:
    """Open Parquet files of pictures as one set; ``ids`` count its rows from 0.

    Raises:
        UserError: files that are damaged, of another layout, or whose labels are no classes.
    """
    rows = ParquetRows(files)
    count = int(rows.labels.max(initial=-1)) + 1
    classes = first_synonyms(rows.classes or [str(number) for number in range(count)])
    if rows.labels.min(initial=0) < 0 or count > len(classes) or len(set(classes)) < len(classes):
        raise UserError(
            f"expected the labels in {files[0].parent} to lie between 0 and {len(classes) - 1}, as "
            f"there are {len(classes)} different classes, but got {rows.labels.min(initial=0)} to "
            f"{count - 1}: number them anew."
        )
    return PictureSet(name, split, rows, rows.labels, classes, np.arange(len(rows)))
