"""Images held apart: for calibration from those for training, or from those for test."""

from dataclasses import replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Subset

from core.data.prepared import ImageSet
from core.foundation.errors import UserError

SHARE = 10
"""One in so many images is held out …"""
MOST = 5_000
"""… but no more than these."""


@overload
def hold_out(train: ImageSet, seed: int = 0) -> tuple[ImageSet, ImageSet]: ...


@overload
def hold_out(
    train: Dataset[Any] | DataLoader[Any], seed: int = 0
) -> tuple[Subset[Any], Subset[Any]]: ...


def hold_out(train: Any, seed: int = 0) -> tuple[Any, Any]:
    """Divide training images into those to learn from and those for calibration.

    A tenth of them, 5,000 at most, drawn at random, is calibration. Thresholds are only as good as
    they promise if nothing was learned from these: neither the trunk nor the heads.

    Args:
        train: an `ImageSet`, or a torch Dataset with a length.
        seed: of the draw; the same seed draws the same images.

    Returns:
        The training part and the calibration part.

    Raises:
        UserError: fewer than 2 images, or a DataLoader, which cannot be divided.
    """
    if isinstance(train, DataLoader) or not hasattr(train, "__len__"):
        raise UserError(
            "expected a Dataset with a length, or an ImageSet, to hold calibration images out "
            f"from, but got {type(train).__name__}: divide it yourself, and pass `calibration`."
        )
    count = len(train)
    if count < 2:
        raise UserError(
            f"expected at least 2 training images, one of them for calibration, but got {count}."
        )
    order = np.random.default_rng(seed).permutation(count)
    rest, held_out = np.split(order, [count - min(max(count // SHARE, 1), MOST)])
    rest.sort()
    held_out.sort()
    if isinstance(train, ImageSet):
        return train.select(rest), replace(train.select(held_out), split="calibration")
    return Subset(train, rest.tolist()), Subset(train, held_out.tolist())


def by_class(
    labels: NDArray[np.int64], share: float, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide labelled images in two, of every class in the same proportion.

    Args:
        labels: (N,); images with -1, which have no label, are in neither part.
        share: of the images that the first part gets, in [0, 1]; of each class it gets that share
            to less than one image.
        seed: of the draw; the same seed draws the same images.

    Returns:
        Rising positions of the first part and of the second.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(np.flatnonzero(labels >= 0))
    order = order[np.argsort(labels[order], kind="stable")]
    steps = np.floor(np.arange(len(order) + 1) * share + random.random())
    first = np.diff(steps) > 0
    return np.sort(order[first]), np.sort(order[~first])
