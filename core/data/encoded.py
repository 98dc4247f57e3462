"""Encoded pictures and arrays of pixels: from one to the other, and onto the disk."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.parquet import SHARD, write_rows
from core.data.pictures import PictureSet
from core.data.prepared import File, ImageSet, prepared_path
from core.data.transform import EvaluationTransform

MOST_AT_SIZE = 2_000
"""Pictures that are brought to a network's size and kept in memory where some are enough."""


def write_encoded(pictures: PictureSet, file: File, root: Path) -> None:
    """Write pictures as Parquet files of a prepared data set.

    They are in a random order, the same every time: pictures that are read together are of
    different classes.

    Args:
        pictures: to write.
        file: of the data set.
        root: folder of prepared data sets.

    Raises:
        UserError: a file that cannot be read.
    """
    folder = prepared_path(pictures.name, file, root).parent
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(0).permutation(len(pictures))
    rows = _rows(pictures, order)
    number = 0
    while write_rows(folder / f"{file}-{number:05}.parquet", pictures.classes, rows, SHARD):
        number += 1


def _rows(pictures: PictureSet, order: NDArray[np.int64]) -> Iterator[tuple[bytes, str, int]]:
    for index in order:
        row = int(pictures.ids[index])
        name = "/".join(Path(pictures.rows.path(row)).parts[-2:])
        yield pictures.rows.encoded(row), name, int(pictures.labels[index])


def at_size(
    images: ImageSet | PictureSet, transform: EvaluationTransform, most: int = MOST_AT_SIZE
) -> ImageSet:
    """Return labelled images as a network reads them, at most ``most`` if they are encoded."""
    if isinstance(images, ImageSet):
        return images
    some = images.select(range(min(most, len(images))))
    pixels = some.pixels(range(len(some)), transform)
    return ImageSet(some.name, some.split, pixels, some.labels, some.classes, some.ids)
