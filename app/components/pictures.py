"""Pictures on the page: the one that is looked at, and how any of them gets there."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import streamlit as st
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


def picture_card(picture: Picture, classes: Sequence[str]) -> None:
    """Show the image as the network reads it, with its name and what is known about it."""
    truth = "" if picture.label is None else f"<b>{escape(classes[picture.label])}</b><br>"
    notes = "".join(f"<br>{escape(note)}" for note in picture.notes)
    height, width = picture.pixels.shape[:2]
    warning = f'<p class="ee-warning">⚠ {escape(picture.warning)}</p>' if picture.warning else ""
    st.html(
        f'<figure class="ee-input"><img src="{data_uri(picture.pixels)}" '
        f'alt="The image, {width} by {height} pixels, as the network reads it">'
        f"<figcaption>{truth}{escape(picture.name)}{notes}"
        f"</figcaption>{warning}</figure>"
    )
