"""Corruptions of an image by severity: noise, blur, rotation, occlusion, contrast, resolution."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from core.foundation.errors import UserError
from core.foundation.registry import Registry

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Corruption:
    """A named ``function(pixels (H, W, C) uint8, severity in (0, 1])`` that returns pixels."""

    name: str
    title: str
    description: str
    function: Callable[[Pixels, float], Pixels]


CORRUPTIONS: Registry[Corruption] = Registry("corruption")


def corrupt(pixels: Pixels, name: str, severity: float) -> Pixels:
    """Return the corrupted image; at severity 0 the image itself. Deterministic.

    Args:
        pixels: (H, W, C) uint8.
        name: in `CORRUPTIONS`.
        severity: in [0, 1].

    Raises:
        UserError: no such corruption, or a severity out of range.
    """
    if not 0 <= severity <= 1:
        raise UserError(f"expected `severity` to be in [0, 1], but got {severity:g}.")
    function = CORRUPTIONS[name].function
    return pixels if severity == 0 else function(pixels, severity)


def corruption(
    name: str, title: str, description: str
) -> Callable[[Callable[[Pixels, float], Pixels]], Callable[[Pixels, float], Pixels]]:
    """Register the decorated ``(pixels, severity) → pixels``."""
    return CORRUPTIONS.register_made(name, Corruption, title, description)


@corruption("noise", "Noise", "Random specks on every pixel, up to a standard deviation of 128.")
def noise(pixels: Pixels, severity: float) -> Pixels:
    """Add Gaussian noise; the same specks at every severity, only stronger."""
    specks = np.random.default_rng(0).normal(size=pixels.shape)
    return _bytes(pixels + 128 * severity * specks)


@corruption("blur", "Blur", "Out of focus, up to a radius of an eighth of the image.")
def blur(pixels: Pixels, severity: float) -> Pixels:
    """Blur with a Gaussian."""
    radius = severity * pixels.shape[0] / 8
    return _through_pillow(pixels, lambda image: image.filter(ImageFilter.GaussianBlur(radius)))


@corruption("rotation", "Rotation", "Turned anticlockwise, up to 180 degrees.")
def rotation(pixels: Pixels, severity: float) -> Pixels:
    """Rotate about the middle; corners take the edge's median colour."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = tuple(int(value) for value in np.median(edge, axis=0))
    fill = colour[0] if len(colour) == 1 else colour
    return _through_pillow(
        pixels,
        lambda image: image.rotate(180 * severity, Image.Resampling.BILINEAR, fillcolor=fill),
    )


@corruption("occlusion", "Occlusion", "A grey square over the middle, up to the whole image.")
def occlusion(pixels: Pixels, severity: float) -> Pixels:
    """Cover a square in the middle."""
    height, width = pixels.shape[:2]
    rows, columns = round(height * severity), round(width * severity)
    top, left = (height - rows) // 2, (width - columns) // 2
    covered = pixels.copy()
    covered[top : top + rows, left : left + columns] = 128
    return covered


@corruption("contrast", "Contrast", "Washed out, up to a single grey.")
def contrast(pixels: Pixels, severity: float) -> Pixels:
    """Pull every pixel towards the image's mean."""
    mean = pixels.mean()
    return _bytes(mean + (1 - severity) * (pixels - mean))


@corruption("resolution", "Resolution", "Fewer and larger pixels, down to 2 × 2.")
def resolution(pixels: Pixels, severity: float) -> Pixels:
    """Shrink, and enlarge again without smoothing."""
    height, width = pixels.shape[:2]
    side = (
        max(round(width * (2 / width) ** severity), 1),
        max(round(height * (2 / height) ** severity), 1),
    )
    return _through_pillow(
        pixels,
        lambda image: image.resize(side, Image.Resampling.BOX).resize(
            (width, height), Image.Resampling.NEAREST
        ),
    )


def _bytes(values: NDArray[np.float64]) -> Pixels:
    return np.round(values).clip(0, 255).astype(np.uint8)


def _through_pillow(pixels: Pixels, change: Callable[[Image.Image], Image.Image]) -> Pixels:
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels)
    return np.asarray(change(image), dtype=np.uint8).reshape(pixels.shape).copy()
