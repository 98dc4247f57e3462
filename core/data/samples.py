"""Sample images that ship with the project, for use without any data set on disk."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.data.images import SUFFIXES
from core.data.prepared import ImageSet, read_image_set
from core.foundation.errors import UserError, nearest
from core.foundation.places import SAMPLES

if TYPE_CHECKING:
    from core.data.pictures import PictureSet
    from core.data.transform import EvaluationTransform

CLASSES = "classes.txt"


def sample_names(folder: Path = SAMPLES) -> list[str]:
    """Return the names of the data sets with shipped samples, sorted."""
    archives = [path.stem for path in folder.glob("*.npz")]
    folders = [path.parent.name for path in folder.glob(f"*/{CLASSES}")]
    return sorted(archives + folders)


def load_samples(
    dataset: str, folder: Path = SAMPLES, transform: "EvaluationTransform | None" = None
) -> ImageSet:
    """Load the shipped samples of a data set, in their order on disk; ``ids`` count from 0.

    Samples are either `<dataset>.npz` in the prepared form, or a folder of pictures, see
    `load_sample_pictures`.

    For ``mnist``, image i here is image i of the calibration split.

    Args:
        dataset: name of the data set.
        folder: that the samples are in.
        transform: brings pictures of several sizes to the one that a network reads; not used for
            others.

    Raises `UserError` for a data set without samples, damaged ones, or pictures of several sizes
    without a ``transform``.
    """
    _check(dataset, folder)
    archive = folder / f"{dataset}.npz"
    if archive.is_file():
        return read_image_set(archive, dataset, "samples")
    found = load_sample_pictures(dataset, folder)
    pictures = [found.picture(index) for index in range(len(found))]
    if len({picture.size for picture in pictures}) == 1:
        images = [np.asarray(picture.convert("RGB")) for picture in pictures]
    elif transform is not None:
        images = [transform.pixels(picture) for picture in pictures]
    else:
        raise UserError(
            f"expected pictures of one size in {folder / dataset}, but got none or several sizes: "
            "pass the `transform` of a network."
        )
    return ImageSet.counted(dataset, "samples", np.stack(images), found.labels, found.classes)


def load_sample_pictures(dataset: str, folder: Path = SAMPLES) -> "PictureSet":
    """Open the shipped samples of a data set that are a folder, as they are.

    The folder `<dataset>/` holds pictures named `<number>_<class>.png` (or .webp, …) beside a
    `classes.txt` with one class name per line.

    Raises `UserError` for a data set without such a folder, or a name without a class.
    """
    from core.data.pictures import PictureFiles, PictureSet

    _check(dataset, folder)
    listed = folder / dataset / CLASSES
    if not listed.is_file():
        raise UserError(
            f"expected the samples of {dataset} to be pictures, but they are arrays: use "
            "`load_samples`."
        )
    classes = tuple(listed.read_text(encoding="utf-8").splitlines())
    files = sorted(path for path in listed.parent.iterdir() if path.suffix in SUFFIXES)
    names = [path.stem.partition("_")[2] for path in files]
    for path, name in zip(files, names, strict=True):
        if name not in classes:
            raise UserError(
                f"expected the name of {path} to end in one of the classes in {listed},"
                f" but got {name!r}.{nearest(name, classes)}"
            )
    labels = np.array([classes.index(name) for name in names], dtype=np.int64)
    ids = np.arange(len(files))
    return PictureSet(dataset, "samples", PictureFiles(tuple(files)), labels, classes, ids)


def _check(dataset: str, folder: Path) -> None:
    names = sample_names(folder)
    if dataset not in names:
        raise UserError(
            f"expected a data set with shipped samples, but got {dataset!r}."
            f"{nearest(dataset, names)} Known: {', '.join(names)}."
        )
