"""Pictures unlike all that a network has learned from, told by what the network sees in them.

A file that ships with some models holds features of training images. Of a picture, the distance to
the nearest of them tells whether the network has seen anything like it. Made by
``python -m benchmarks.likeness``. Source: Sun et al., "Out-of-Distribution Detection with Deep
Nearest Neighbors" (arXiv 2204.06507).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.data.likeness import hint
from core.data.pictures import PictureSet
from core.data.prepared import ImageSet
from core.data.samples import load_samples, sample_names
from core.exits.table import FloatArray
from core.foundation.errors import UserError
from core.foundation.files import atomic_path
from core.hub.card import Card
from core.hub.registry import LIKENESS

if TYPE_CHECKING:
    from core.hub.model import Model

LIKE = 0.99
"""Share of the calibration images that are not called unlike the training images."""
MOST_KNOWN = 4096
"""Training images whose features are kept."""
DIMENSIONS = 64
"""Numbers that are kept of a feature: along the directions in which training images differ most."""
_SCALE = 127


@dataclass(frozen=True, eq=False)
class Likeness:
    """Features of training images, and how far from them a picture may be.

    Attributes:
        mean: (C,) of the features.
        directions: (C, D) the main directions of the features.
        known: (M, D) int8, unit vectors times 127: training images along these directions.
        threshold: cosine distance to the nearest of them that `LIKE` of the calibration images do
            not exceed.
    """

    mean: FloatArray
    directions: FloatArray
    known: NDArray[np.int8]
    threshold: float

    def distances(self, features: FloatArray) -> FloatArray:
        """Return the cosine distance (N,), in [0, 2], of features (N, C) to the nearest known."""
        known = self.known.astype(np.float32)
        known /= np.linalg.norm(known, axis=1, keepdims=True)
        nearest: FloatArray = 1 - (self._units(features) @ known.T).max(axis=1)
        return nearest

    def hint(self, features: FloatArray) -> str | None:
        """Return a sentence where a picture of these features (1, C) is unlike all; else None."""
        if self.distances(features)[0] <= self.threshold:
            return None
        return (
            "This picture is unlike all that this network has learned from: by what the network "
            "sees in it, it is further from the nearest training image than "
            f"{LIKE:.0%} of the calibration images are. The answer may mean nothing."
        )

    def _units(self, features: FloatArray) -> FloatArray:
        along = (features - self.mean) @ self.directions
        units: FloatArray = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        return units


def unlike(
    model: "Model",
    picture: NDArray[np.uint8],
    likeness: Likeness | None,
    samples: NDArray[np.uint8] | None,
) -> str | None:
    """Return a sentence where a picture is unlike what a model learned from; else None.

    Args:
        model: that classifies it.
        picture: (H, W, C), as the network reads it.
        likeness: of the model; tells by what the network sees in the picture.
        samples: (N, H, W, C) of its data set; without ``likeness``, tell by brightness, contrast
            and colour.
    """
    if likeness is not None:
        return likeness.hint(model.features(picture[None]))
    return None if samples is None else hint(picture, samples)


def hints(model: "Model", pictures: Sequence[NDArray[np.uint8]]) -> list[str | None]:
    """Return what `unlike` says of each picture, by what ships with a model."""
    card, samples = model.card, None
    likeness = likeness_of(model.folder, card)
    if likeness is None and card.dataset in sample_names():
        samples = load_samples(card.dataset, transform=card.evaluation_transform).images
    return [unlike(model, picture, likeness, samples) for picture in pictures]


def make_likeness(
    model: "Model", train: ImageSet | PictureSet, calibration: ImageSet | PictureSet
) -> Likeness:
    """Learn what a model knows from its training images; choose the threshold on calibration.

    Of more than `MOST_KNOWN` training images, as many are drawn at random.
    """
    if len(train) > MOST_KNOWN:
        train = train.select(np.random.default_rng(0).permutation(len(train))[:MOST_KNOWN])
    features = model.features(train)
    mean = features.mean(axis=0)
    _, _, rows = np.linalg.svd(features - mean, full_matrices=False)
    directions = rows[:DIMENSIONS].T.astype(np.float16).astype(np.float32)
    empty = Likeness(mean, directions, np.empty((0, directions.shape[1]), np.int8), 0.0)
    known = np.rint(_SCALE * empty._units(features)).astype(np.int8)
    made = Likeness(mean, directions, known, 0.0)
    distances = made.distances(model.features(calibration))
    return Likeness(mean, directions, known, float(np.quantile(distances, LIKE)))


def save_likeness(folder: Path, card: Card, likeness: Likeness) -> None:
    """Write it into a model's folder, atomically."""
    with atomic_path(folder / LIKENESS) as partial, partial.open("wb") as stream:
        np.savez_compressed(
            stream,
            weights=np.array(card.sha256),
            mean=likeness.mean,
            directions=likeness.directions.astype(np.float16),
            known=likeness.known,
            threshold=np.array(likeness.threshold),
        )


def likeness_of(folder: Path | None, card: Card) -> Likeness | None:
    """Return what ships with a model, or None; of a damaged file, which costs a hint only, warn."""
    try:
        return None if folder is None else load_likeness(folder, card)
    except UserError as error:
        warnings.warn(str(error), stacklevel=2)
        return None


def load_likeness(folder: Path, card: Card) -> Likeness | None:
    """Return what ships with a model; None where nothing does, or where it is of other weights.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / LIKENESS
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if str(archive["weights"]) != card.sha256:
                return None
            found = Likeness(
                archive["mean"].astype(np.float32),
                archive["directions"].astype(np.float32),
                archive["known"],
                float(archive["threshold"]),
            )
        channels, dimensions = found.directions.shape
        shapes = (found.mean.shape, found.known.shape, found.known.dtype)
        if shapes != ((channels,), (len(found.known), dimensions), np.dtype(np.int8)):
            raise ValueError(f"shapes {shapes} do not fit directions ({channels}, {dimensions})")
        if not np.isfinite([found.threshold, *found.mean, *found.directions.ravel()]).all():
            raise ValueError("not all of its numbers are finite")
    except Exception as error:  # numpy, zip and zlib raise many types for a damaged archive
        raise UserError(
            f"expected features of training images in {path}, but they are damaged ({error}); "
            "restore the file, or remove it."
        ) from None
    return found
