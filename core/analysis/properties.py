"""Properties of pictures that can be measured without a network."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.exits.table import FloatArray

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in the brightness that people see (ITU-R BT.601)."""
_BATCH = 2**24  # pixels that are looked at at once


@dataclass(frozen=True)
class Property:
    """Something of a picture that is a number.

    Attributes:
        title: for people.
        description: what it is, in a sentence.
        measure: maps pictures (N, H, W, C) in [0, 1] to (N,).
        coloured: whether it is of colour pictures only.
    """

    title: str
    description: str
    measure: Callable[[FloatArray], FloatArray]
    coloured: bool = False


def _grey(pictures: FloatArray) -> FloatArray:
    grey: FloatArray = pictures @ LUMA if pictures.shape[3] == 3 else pictures.mean(axis=3)
    return grey


def _brightness(pictures: FloatArray) -> FloatArray:
    mean: FloatArray = _grey(pictures).mean(axis=(1, 2))
    return mean


def _contrast(pictures: FloatArray) -> FloatArray:
    spread: FloatArray = _grey(pictures).std(axis=(1, 2))
    return spread


def _edges(pictures: FloatArray) -> FloatArray:
    grey = _grey(pictures)
    down, right = np.diff(grey, axis=1)[:, :, :-1], np.diff(grey, axis=2)[:, :-1]
    steps: FloatArray = np.hypot(down, right).mean(axis=(1, 2))
    return steps


def _detail(pictures: FloatArray) -> FloatArray:
    grey = _grey(pictures)
    power = np.abs(np.fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True))) ** 2
    rows, columns = np.fft.fftfreq(grey.shape[1]), np.fft.rfftfreq(grey.shape[2])
    fine = np.hypot(rows[:, None], columns) > 0.25  # of a cycle per pixel; 0.5 is the finest
    whole = np.maximum(power.sum(axis=(1, 2)), 1e-12)
    share: FloatArray = (power[:, fine].sum(axis=1) / whole).astype(np.float32)
    return share


def _colour(pictures: FloatArray) -> FloatArray:
    mean: FloatArray = (pictures.max(axis=3) - pictures.min(axis=3)).mean(axis=(1, 2))
    return mean


PROPERTIES = {
    "brightness": Property("Brightness", "Mean brightness of the picture.", _brightness),
    "contrast": Property("Contrast", "How much the brightness varies over the picture.", _contrast),
    "edges": Property("Edges", "Mean difference in brightness of neighbouring pixels.", _edges),
    "detail": Property(
        "Fine detail",
        "Share of the variation that repeats within four pixels, by Fourier transform.",
        _detail,
    ),
    "colour": Property("Colour", "How far the pixels are from grey, on average.", _colour, True),
}


def measured(pictures: NDArray[np.uint8]) -> dict[str, FloatArray]:
    """Return the `PROPERTIES` of pictures, each (N,); those of colour only where there is some.

    Args:
        pictures: (N, H, W, C).
    """
    coloured = pictures.shape[3] == 3
    wanted = {name: one for name, one in PROPERTIES.items() if coloured or not one.coloured}
    found: dict[str, list[FloatArray]] = {name: [] for name in wanted}
    size = max(_BATCH // max(int(np.prod(pictures.shape[1:])), 1), 1)
    for first in range(0, len(pictures), size):
        batch = pictures[first : first + size].astype(np.float32) / np.float32(255)
        for name, one in wanted.items():
            found[name].append(one.measure(batch))
    return {name: np.concatenate(parts) for name, parts in found.items() if parts}
