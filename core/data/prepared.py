"""Prepared data sets: `<root>/<name>/{train,test}.npz`, and the images in one such file.

Pictures of any size are in `<root>/<name>/{train,test}-*.parquet` instead, encoded. Where the
calibration images were given apart, they are in `calibration.npz` or `calibration-*.parquet`.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.data.class_names import first_synonyms
from core.foundation.errors import UserError, nearest
from core.foundation.files import atomic_path
from core.foundation.places import data_root

if TYPE_CHECKING:
    from core.data.pictures import PictureSet

File = Literal["train", "calibration", "test"]
FILES: tuple[File, ...] = get_args(File)
_FEW_DUPLICATES = 0.01

FIELDS = ("images", "labels", "classes")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one size, all in memory.

    Attributes:
        name: of the data set, for example ``cifar10``.
        split: of the data set, for example ``calibration``.
        images: (N, H, W, C) uint8, C is 1 or 3.
        labels: (N,) int64 in [0, K).
        classes: K class names, indexed by label.
        ids: (N,) int64, index of each image in the file it comes from.

    Raises `UserError` when these do not fit together.
    """

    name: str
    split: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        _check(self.images, self.labels, self.classes, f"{self.name} ({self.split})")
        if self.ids.shape != self.labels.shape or not np.issubdtype(self.ids.dtype, np.integer):
            raise UserError(
                f"expected `ids` of {self.name} ({self.split}) to be {len(self.labels)} integers,"
                f" one per image, but got {self.ids.dtype} of shape {self.ids.shape}."
            )

    @classmethod
    def counted(
        cls,
        name: str,
        split: str,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        classes: tuple[str, ...],
    ) -> "ImageSet":
        """Return the set of all images in a file: its ``ids`` count from 0."""
        ids = np.arange(len(labels), dtype=np.int64)
        return cls(name, split, images, labels, classes, ids)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.classes)

    def contents(self) -> Iterator[bytes]:
        """Yield the images' pixels, in their order."""
        return (image.tobytes() for image in self.images)

    def select(self, index: ArrayLike) -> "ImageSet":
        """Return the images at ``index`` (integers in any order, or a boolean mask (N,))."""
        chosen = np.asarray(index)
        if chosen.size == 0 and chosen.dtype != np.bool_:
            chosen = chosen.astype(np.int64)
        return replace(
            self, images=self.images[chosen], labels=self.labels[chosen], ids=self.ids[chosen]
        )


def check_name(name: str) -> None:
    """Raise `UserError` unless this is a valid name of a data set, which a folder gets."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise UserError(
            "expected the name of a data set in lower-case letters, digits, '.', '_' and '-',"
            f" but got {name!r}; choose a name like 'mnist' or 'my-flowers'."
        )


def prepared_path(name: str, file: File, root: Path | None = None) -> Path:
    """Return the path of ``file`` of the data set ``name``; it need not exist.

    Raises `UserError` for a name that is not lower-case letters, digits, `.`, `_` and `-`.
    """
    check_name(name)
    if file not in FILES:
        raise UserError(f"expected the file 'train' or 'test' of {name}, but got {file!r}.")
    return data_root(root) / name / f"{file}.npz"


def encoded_paths(name: str, file: File, root: Path | None = None) -> list[Path]:
    """Return the Parquet files that hold the pictures of ``file``, in their order; [] for none."""
    return sorted(prepared_path(name, file, root).parent.glob(f"{file}-*.parquet"))


def is_prepared(name: str, file: File, root: Path | None = None) -> bool:
    """Return whether a data set has ``file``, as arrays or as encoded pictures."""
    return prepared_path(name, file, root).is_file() or bool(encoded_paths(name, file, root))


def prepared_names(root: Path | None = None) -> list[str]:
    """Return the names of the prepared data sets under the root, sorted."""
    patterns = ("*/train.npz", "*/train-*.parquet")
    return sorted({path.parent.name for one in patterns for path in data_root(root).glob(one)})


def load_prepared(name: str, file: File, root: Path | None = None) -> "ImageSet | PictureSet":
    """Load one file of a prepared data set; ``ids`` count its images from 0.

    Raises `UserError` when it is missing (saying which command makes it) or damaged (naming the
    file and the field).
    """
    path = prepared_path(name, file, root)
    if not path.is_file() and (encoded := encoded_paths(name, file, root)):
        from core.data.pictures import read_picture_set  # pyarrow, for those who need it

        return read_picture_set(encoded, name, file)
    if not path.is_file():
        hint = nearest(name, prepared_names(root)) if name not in prepared_names(root) else ""
        raise UserError(
            f"expected the prepared data set {name!r} at {path}, but there is none.{hint}"
            f" Make it with `python -m core data prepare {name}`"
            " (add `--from FOLDER` for images of your own)."
        )
    return read_image_set(path, name, file)


def check_disjoint(calibration: "ImageSet | PictureSet", other: "ImageSet | PictureSet") -> None:
    """Raise `UserError` when calibration images are in another split, too.

    Figures on the images that thresholds were chosen on are too good, and thresholds chosen on
    images that the network learned from are too bold. Images with equal pixels, or pictures with
    equal bytes, are equal; up to 1 % of duplicates, as large collections have them, are accepted.
    """
    ours = [hash(content) for content in calibration.contents()]
    known = set(ours)
    seen = {one for one in map(hash, other.contents()) if one in known}
    shared = sum(one in seen for one in ours)
    if shared > _FEW_DUPLICATES * len(calibration):
        raise UserError(
            f"expected the calibration and the {other.split} images of {other.name} to be "
            f"disjoint, but {shared:,} of {len(calibration):,} calibration images are in both: "
            "prepare the data set again from images that are divided into train, val and test."
        )


def read_image_set(path: Path, name: str, split: str) -> ImageSet:
    """Read an `.npz` of images, labels and classes; never unpickles. Raises `UserError`."""
    images, labels, classes = _read_fields(path)
    if classes.ndim != 1 or classes.dtype.kind != "U":
        raise UserError(
            f"expected `classes` in {path} to be a list of strings,"
            f" but got {classes.dtype} of shape {classes.shape}; prepare the data set again."
        )
    _check(images, labels, names := first_synonyms(classes.tolist()), str(path))
    return ImageSet.counted(name, split, images, labels.astype(np.int64), names)


def write_prepared(
    name: str,
    file: File,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    root: Path | None = None,
) -> Path:
    """Write one file of a prepared data set, atomically, and return its path.

    Args:
        images: (N, H, W, C) uint8, C is 1 or 3.
        labels: (N,) integers in [0, K).
        classes: K different names.

    Raises `UserError` when these do not fit together.
    """
    path = prepared_path(name, file, root)
    _check(images, labels, classes, f"{name} ({file})")
    with atomic_path(path) as partial:
        np.savez(partial, images=images, labels=labels.astype(np.int64), classes=np.array(classes))
    return path


def _read_fields(path: Path) -> list[NDArray[Any]]:
    arrays = []
    field = "the archive"
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array")
        with archive:
            for field in FIELDS:
                arrays.append(archive[field])
    except KeyError:
        raise UserError(
            f"expected the field `{field}` in {path}, but it is missing;"
            f" expected {', '.join(FIELDS)}. Prepare the data set again."
        ) from None
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"expected {path} to be an .npz of {', '.join(FIELDS)},"
            f" but {field} cannot be read: {error}. Prepare the data set again."
        ) from None
    return arrays


def _check(
    images: NDArray[Any], labels: NDArray[Any], classes: tuple[str, ...], where: str
) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise UserError(
            f"expected `images` of {where} to be uint8 of shape (N, H, W, 1 or 3),"
            f" but got {images.dtype} of shape {images.shape}."
        )
    if 0 in images.shape[1:]:
        raise UserError(
            f"expected `images` of {where} to have pixels, but got the shape {images.shape}."
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
        raise UserError(
            f"expected `labels` of {where} to be {len(images)} integers, one per image,"
            f" but got {labels.dtype} of shape {labels.shape}."
        )
    if not classes or len(set(classes)) != len(classes):
        raise UserError(
            f"expected `classes` of {where} to be at least one name, all different,"
            f" but got {len(classes)} names, {len(set(classes))} of them different."
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise UserError(
            f"expected `labels` of {where} to lie between 0 and {len(classes) - 1}, as there are"
            f" {len(classes)} classes, but got {labels.min()} to {labels.max()}."
        )
