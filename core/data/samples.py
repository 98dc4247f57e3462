"""Sample images that ship with the project, for use without any data set on disk."""

from pathlib import Path

import numpy as np
from PIL import Image

from core.data.prepared import ImageSet, read_image_set
from core.foundation.errors import UserError, nearest
from core.foundation.places import SAMPLES

CLASSES = "classes.txt"


def sample_names(folder: Path = SAMPLES) -> list[str]:
    """Return the names of the data sets with shipped samples, sorted."""
    archives = [path.stem for path in folder.glob("*.npz")]
    folders = [path.parent.name for path in folder.glob(f"*/{CLASSES}")]
    return sorted(archives + folders)


def load_samples(dataset: str, folder: Path = SAMPLES) -> ImageSet:
    """Load the shipped samples of a data set, in their order on disk; ``ids`` count from 0.

    Samples are either `<dataset>.npz` in the prepared form, or a folder `<dataset>/` of PNGs
    named `<number>_<class>.png` beside a `classes.txt` with one class name per line.

    For ``mnist``, image i here is image i of the calibration split.

    Raises `UserError` for a data set without samples, or damaged ones.
    """
    names = sample_names(folder)
    if dataset not in names:
        raise UserError(
            f"expected a data set with shipped samples, but got {dataset!r}."
            f"{nearest(dataset, names)} Known: {', '.join(names)}."
        )
    archive = folder / f"{dataset}.npz"
    if archive.is_file():
        return read_image_set(archive, dataset, "samples")
    return _read_folder(folder / dataset, dataset)


def _read_folder(folder: Path, dataset: str) -> ImageSet:
    classes = tuple((folder / CLASSES).read_text(encoding="utf-8").split())
    images, labels = [], []
    for path in sorted(folder.glob("*.png")):
        label = path.stem.partition("_")[2]
        if label not in classes:
            raise UserError(
                f"expected the name of {path} to end in one of the classes in {folder / CLASSES},"
                f" but got {label!r}.{nearest(label, classes)}"
            )
        labels.append(classes.index(label))
        try:
            with Image.open(path, formats=("PNG",)) as picture:
                images.append(np.asarray(picture.convert("RGB")))
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(
                f"expected {path} to be a PNG, but it cannot be read: {error}; restore it."
            ) from None
    if len({image.shape for image in images}) != 1:
        raise UserError(f"expected PNGs of one size in {folder}, but got none or several sizes.")
    return ImageSet.counted(
        dataset, "samples", np.stack(images), np.array(labels, dtype=np.int64), classes
    )
