"""The train, calibration and test splits of a data set.

Networks are trained on train; thresholds and temperatures are chosen on calibration; results are
reported on test. Calibration is `calibration.npz` where there is one; else train and calibration
are disjoint parts of `train.npz`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.data.prepared import ImageSet, is_prepared, load_prepared
from core.data.samples import load_samples
from core.foundation.errors import UserError, nearest
from core.foundation.registry import Registry

if TYPE_CHECKING:
    from core.data.pictures import PictureSet

Split = Literal["train", "calibration", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

SAMPLES_ONLY = "mnist-samples"
"""Data set that needs no files: the 5,000 digits that ship as samples."""
_HELD_OUT_SHARE = 10  # a tenth each for calibration and test

# data set → (its train.npz) → indices of the calibration images
CALIBRATIONS: Registry[Callable[[ImageSet], NDArray[np.int64]]] = Registry("calibration split")


def load_split(name: str, split: Split, root: Path | None = None) -> "ImageSet | PictureSet":
    """Load one split of a prepared data set; of encoded pictures, only the labels are read.

    ``ids`` are indices into the file that the images are in.

    The calibration split is `calibration.npz` (or Parquet), if there is such a file. Else it holds
    the last 5,000 of a permutation of the training images with seed 0 (the last tenth when there
    are fewer than 50,000); for MNIST the 5,000 digits that ship as samples, in their order. The
    remaining images are the train split.

    ``mnist-samples`` needs no data set on disk: of the digits that ship as samples, a tenth of
    each class is for test and a tenth for calibration, and ``ids`` are indices into the samples.

    Raises `UserError` when the data set is not prepared, is damaged, or has no such split.
    """
    if split not in SPLITS:
        raise UserError(
            f"expected the split to be one of {', '.join(SPLITS)}, but got {split!r}."
            f"{nearest(str(split), SPLITS)}"
        )
    if name == SAMPLES_ONLY:
        return _part_of_samples(split)
    if split == "test" or is_prepared(name, "calibration", root):
        return load_prepared(name, split, root)
    images = load_prepared(name, "train", root)
    order, calibration = _calibration(images)
    chosen = calibration if split == "calibration" else order[~np.isin(order, calibration)]
    return replace(images.select(chosen), split=split)


def _calibration(images: "ImageSet | PictureSet") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.random.RandomState(0).permutation(len(images)).astype(np.int64)  # (N,)
    if images.name in CALIBRATIONS and isinstance(images, ImageSet):
        return order, CALIBRATIONS[images.name](images)
    if len(images) < 2:
        raise UserError(
            f"expected at least 2 training images in {images.name}, one of them for calibration,"
            f" but got {len(images)}; add images and prepare it again."
        )
    count = 5_000 if len(images) >= 50_000 else max(1, len(images) // 10)
    return order, order[-count:]


def _part_of_samples(split: Split) -> ImageSet:
    digits = load_samples("mnist")
    chosen = []
    for label in range(digits.num_classes):
        own = np.flatnonzero(digits.labels == label)
        shuffled = np.random.RandomState(label).permutation(own)
        held_out = len(own) // _HELD_OUT_SHARE
        ends = {"test": (0, held_out), "calibration": (held_out, 2 * held_out)}
        start, stop = ends.get(split, (2 * held_out, len(own)))
        chosen.append(shuffled[start:stop])
    return replace(digits.select(np.sort(np.concatenate(chosen))), name=SAMPLES_ONLY, split=split)


@CALIBRATIONS.register("mnist")
def find_shipped_digits(train: ImageSet) -> NDArray[np.int64]:
    """Return the indices (5000,) in ``train`` of the shipped digits, in their order.

    Images with equal pixels are equal; of duplicates, the first not yet taken.
    """
    indices: dict[bytes, list[int]] = {}
    for index in range(len(train) - 1, -1, -1):
        indices.setdefault(train.images[index].tobytes(), []).append(index)
    digits = load_samples("mnist")
    chosen = [left.pop() for image in digits.images if (left := indices.get(image.tobytes()))]
    if len(chosen) != len(digits):
        raise UserError(
            f"expected the {len(digits)} shipped digits among MNIST's training images, but got"
            f" {len(chosen)}; prepare the original again with `python -m core data prepare mnist`."
        )
    return np.array(chosen, dtype=np.int64)
