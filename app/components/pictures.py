"""Pictures on the page: the one that is looked at, and how any of them gets there."""

import base64
import hashlib
import io
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from html import escape
from threading import Lock

import numpy as np
import streamlit as st
from cachetools import LRUCache, cached
from numpy.typing import NDArray
from PIL import Image

from app.components.crop import Whole

TINY, STAMP, TILE, PREVIEW = 96, 56, 128, 512  # pixels of the longer side
MOST_KEPT = 4096
"""Small pictures, of a few kilobytes each, that are kept."""
# dark violet, red, yellow: rises in lightness, so it also reads without colour
HEAT = ((45, 11, 89), (229, 92, 48), (252, 236, 133))


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as the network reads it, (H, W, C) uint8, and what is known about it.

    Attributes:
        strange: whether it may be unlike all that a network has learned from.
        whole: it before it was cropped, where another part may be chosen.
        number: of it among the visitor's own.
    """

    pixels: NDArray[np.uint8]
    name: str
    label: int | None = None
    notes: tuple[str, ...] = ()
    uploaded: bool = False
    strange: bool = False
    whole: Whole | None = None
    number: int = 0


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image (H, W, 1, 3 or 4 channels) as a PNG."""
    return _encoded(_picture(pixels), "PNG")


def exact_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image (H, W, 1, 3 or 4 channels) inside a URI, every pixel as it is."""
    return _uri(png(pixels), "png")


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image (H, W, 1 or 3) inside a URI to look at: a photograph as JPEG, else exact.

    The style sheets draw an exact one pixel by pixel, and a photograph smoothly.
    """
    if max(pixels.shape[:2]) <= TINY:
        return exact_uri(pixels)
    return _uri(_encoded(_picture(pixels), "JPEG", quality=92, subsampling=0), "jpeg")


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """Return an image (H, W, 1 or 3) inside a URI for a tile."""
    return data_uri(pixels) if max(pixels.shape[:2]) <= TINY else _kept(pixels, TILE)


def stamp(pixels: NDArray[np.uint8]) -> str:
    """Return an image (H, W, 1 or 3) inside a URI to stand beside a word."""
    return _kept(pixels, STAMP)


def preview(picture: Image.Image) -> str:
    """Return a picture of any size inside a URI, small; as JPEG, which is made ten times faster."""
    return _uri(_encoded(_smaller(picture, PREVIEW), "JPEG", quality=85), "jpeg")


def sheet(picture: Image.Image, exact: bool) -> str:
    """Return a picture that holds many, inside a URI: every pixel as it is, or nearly so."""
    return _uri(_encoded(picture, "WEBP", lossless=exact, quality=80), "webp")


def _key(pixels: NDArray[np.uint8], side: int) -> Hashable:
    content = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
    return content, pixels.shape, side


@cached(LRUCache(MOST_KEPT), key=_key, lock=Lock())
def _kept(pixels: NDArray[np.uint8], side: int) -> str:
    return _small(_picture(pixels), side)


def _small(picture: Image.Image, side: int) -> str:
    return _uri(_encoded(_smaller(picture, side), "WEBP", quality=85), "webp")


def _smaller(picture: Image.Image, side: int) -> Image.Image:
    scale = min(side / max(picture.size), 1.0)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    small = picture.resize(size, Image.Resampling.HAMMING, reducing_gap=1.5)
    return small.convert("RGB")


def _uri(content: bytes, form: str) -> str:
    return f"data:image/{form};base64,{base64.b64encode(content).decode()}"


def _picture(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _encoded(picture: Image.Image, form: str, **options: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def picture_card(picture: Picture, classes: Sequence[str], *, small: bool = False) -> None:
    """Show the image as the network reads it, with its name and what is known about it."""
    truth = "" if picture.label is None else f"<b>{escape(classes[picture.label])}</b><br>"
    notes = "".join(f"<br>{escape(note)}" for note in picture.notes)
    height, width = picture.pixels.shape[:2]
    kind = "ee-input ee-beside" if small else "ee-input"
    st.html(
        f'<figure class="{kind}"><img src="{data_uri(picture.pixels)}" '
        f'alt="The image, {width} by {height} pixels, as the network reads it">'
        f"<figcaption>{truth}{escape(picture.name)}{notes}"
        f"</figcaption></figure>"
    )
