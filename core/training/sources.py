"""What a recipe's training reads: its images, and how they become the network's input."""

import os
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.labelled import Reader
from core.data.pictures import PictureSet
from core.data.prepared import ImageSet
from core.data.transform import CenterCrop, EvaluationTransform, Resize
from core.foundation.errors import UserError, nearest
from core.networks.backbones.airbench import SAMPLES
from core.networks.network import ExitNetwork
from core.networks.normalisation import Normalisation
from core.training.crops import RandomCrops
from core.training.data import DeviceImages, Source
from core.training.recipe import Recipe
from core.training.stream import StreamedImages

DECODERS = min(os.cpu_count() or 1, 8)
"""Processes that decode pictures while the network learns: more than eight wait for it."""
LOOKED_AT = 500
"""Encoded pictures that are enough to normalise by."""


def reading(
    recipe: Recipe, train: ImageSet | PictureSet, known: Normalisation | None
) -> EvaluationTransform:
    """Return how pictures become what the network reads, normalised as ``known`` or as measured."""
    size, channels = recipe.network.image_size, recipe.network.in_channels
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    transform = EvaluationTransform.square(size, channels, zeros, ones)
    if recipe.resize is not None:
        steps = (
            Resize(size=(recipe.resize,), interpolation="bicubic"),
            CenterCrop(size=(size, size)),
        )
        transform = transform.model_copy(update={"steps": steps})
    if known is None:
        images = train.images if isinstance(train, ImageSet) else first_pixels(train, transform)
        known = Normalisation.measured([images])
    seen = {"mean": known.mean, "std": known.std, "reciprocal": known.reciprocal}
    return transform.model_copy(update=seen)


def first_pixels(train: ImageSet | PictureSet, transform: EvaluationTransform) -> NDArray[np.uint8]:
    """Return the first training images as the network reads them: (N, H, W, C) uint8."""
    if isinstance(train, ImageSet):
        return train.images[:SAMPLES]
    return train.pixels(range(min(LOOKED_AT, len(train))), transform)


def sources(
    recipe: Recipe,
    train: ImageSet | PictureSet,
    calibration: ImageSet | PictureSet,
    transform: EvaluationTransform,
    device: torch.device,
) -> tuple[Source, Source]:
    """Return where batches to learn from come from, and those that every epoch is measured on.

    Raises:
        UserError: a recipe that does not fit encoded pictures, or the other way round.
    """
    if isinstance(train, PictureSet) and isinstance(calibration, PictureSet):
        if recipe.views == 0 and any(phase.loss == "v4" for phase in recipe.phases):
            raise UserError(
                "expected a loss that needs one batch at a time with encoded pictures, but v4 "
                "compares all training images after every epoch: choose v2, or set `views`."
            )
        spec = recipe.network
        shape = spec.in_channels, spec.image_size, spec.image_size
        seen = (
            train
            if recipe.crop_scale is None
            else RandomCrops(train, *shape[:2], recipe.crop_scale)
        )
        stream = partial(
            StreamedImages,
            reader=Reader(train.name, shape, spec.num_classes, transform),
            device=device,
            batch_size=recipe.batch_size,
            workers=DECODERS,
        )
        return stream(seen, crop_pad=recipe.crop_pad, flip=recipe.flip), stream(calibration)
    if isinstance(train, PictureSet) or isinstance(calibration, PictureSet):
        raise UserError(
            f"expected the train and calibration images of {recipe.dataset} to be of one kind, but "
            "some are encoded and some are not: prepare the data set again."
        )
    if recipe.crop_scale is not None:
        raise UserError(
            f"expected encoded pictures where a recipe has `crop_scale`, but {recipe.dataset} has "
            "images of one size: use `crop_pad`, or prepare it again from the pictures."
        )
    return (
        DeviceImages(train, device, recipe.batch_size, recipe.crop_pad, recipe.flip),
        DeviceImages(calibration, device),
    )


def frozen_blocks(network: ExitNetwork, name: str | None) -> int:
    """Return how many blocks of the trunk there are up to the one of that name; 0 for None.

    Raises:
        UserError: there is none of that name.
    """
    names = network.trunk.names
    if name is None:
        return 0
    if name not in names:
        raise UserError(
            f"expected `frozen` to name a block of the backbone, but got {name!r}."
            f"{nearest(name, names)} It has {', '.join(names)}."
        )
    return names.index(name) + 1
