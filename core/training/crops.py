"""Random crops of pictures, made where they are decoded."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from core.data.pictures import PictureSet

RATIO = 4 / 3
"""Largest ratio of a crop's sides."""
_TRIES = 10


class RandomCrops(Dataset[tuple[NDArray[np.uint8], int]]):
    """A set of pictures of which each look sees another part, resized to a network's input.

    The crops of Szegedy et al., arXiv 1409.4842: an area drawn between ``scale`` and 1 of the
    picture's, sides in a ratio between 3:4 and 4:3. They are drawn from torch's generator.
    """

    def __init__(self, pictures: PictureSet, channels: int, size: int, scale: float) -> None:
        """Take the pictures, the channels and side of the input, and the least share of area."""
        self.pictures, self.size, self.scale = pictures, size, scale
        self.mode = "L" if channels == 1 else "RGB"

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        """Return uint8 (size, size, C) and the label."""
        picture, label = self.pictures[index]
        crop = picture.convert(self.mode).resize(
            (self.size, self.size), Image.Resampling.BICUBIC, _box(*picture.size, self.scale)
        )
        pixels = np.array(crop, np.uint8)
        return pixels.reshape(self.size, self.size, -1), label


def _box(width: int, height: int, scale: float) -> tuple[float, float, float, float]:
    """Draw a part of a picture: (left, top, right, bottom)."""
    for _ in range(_TRIES):
        area, ratio, x, y = torch.rand(4).tolist()
        area = width * height * (scale + (1 - scale) * area)
        ratio = math.exp(math.log(RATIO) * (2 * ratio - 1))
        columns, rows = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if columns <= width and rows <= height:
            left, top = x * (width - columns), y * (height - rows)
            return left, top, left + columns, top + rows
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side
