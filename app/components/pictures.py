"""Pictures on the page: the one under the glass, and how any of them gets there."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# dark violet, red, yellow: rises in lightness, so it also reads without colour
HEAT = ((45, 11, 89), (229, 92, 48), (252, 236, 133))


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as the network reads it, (H, W, C) uint8, and what is known about it."""

    pixels: NDArray[np.uint8]
    name: str
    label: int | None = None
    notes: tuple[str, ...] = ()
    uploaded: bool = False
    warning: str | None = None


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image (H, W, 1, 3 or 4 channels) as a PNG."""
    array = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    content = io.BytesIO()
    Image.fromarray(array).save(content, "PNG")
    return content.getvalue()


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image (H, W, 1, 3 or 4 channels) as a PNG inside a URI."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"


def inverted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the negative of an image."""
    return 255 - pixels


def heat(relevance: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a map (H, W) in [0, 1] as a coloured veil (H, W, 4): clear where nothing spoke."""
    levels = np.linspace(0, 1, len(HEAT))
    colours = [np.interp(relevance, levels, channel) for channel in np.transpose(HEAT)]
    opacity = 255 * np.minimum(relevance * 1.6, 1)
    return np.stack([*colours, opacity], axis=2).astype(np.uint8)
