"""Untrusted pictures: open them safely, and bring them to a network's input size."""

import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from core.foundation.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
BACKGROUND = 255  # white, behind transparent parts


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """A picture that is safe to use.

    Attributes:
        image: mode ``L`` or ``RGB``, upright, nothing transparent, at most `MAX_PIXELS`.
        notes: sentences on what had to be changed, to be shown beside the picture.
    """

    image: Image.Image
    notes: tuple[str, ...]


def open_image(source: Path | str | bytes | BinaryIO, name: str | None = None) -> OpenedImage:
    """Open an untrusted picture.

    Bytes and pixels are limited before anything is decoded, and only `FORMATS` are tried.
    Of an animation the first frame is taken, 16-bit and float values are rescaled instead of
    clipped, transparent parts are placed on white, and the camera's rotation is applied.

    Args:
        source: a path, the file's bytes, or an open binary file (read from its beginning).
        name: for messages; by default the file's own name.

    Raises `UserError` for a file that is missing, too large, damaged or not a picture.
    """
    content, called = _read(source, name)
    if not content:
        raise UserError(f"expected {called} to be an image, but it is empty; choose another file.")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            _check_pixels(picture, called)
            picture.load()
            return _cleaned(picture)
    except UserError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(called, "far more") from None
    except UnidentifiedImageError:
        raise UserError(
            f"expected {called} to be an image ({', '.join(FORMATS)}),"
            " but it is none of these; save it as PNG or JPEG."
        ) from None
    except Exception as error:  # a decoder may raise anything for hostile bytes
        raise UserError(
            f"expected {called} to be an intact image, but it is damaged or of an unusual kind"
            f" ({str(error) or type(error).__name__}); save it again as PNG or JPEG."
        ) from None


def fit(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Return the picture as a network's input: (size, size, channels) uint8.

    The largest central square is cropped, then resized with an antialiasing filter: objects keep
    their proportions and no bars are added, but the ends of the longer side are lost. A picture of
    the right size keeps its pixels. Colour becomes grey by luminance (ITU-R 601), grey becomes
    colour by repetition.

    Args:
        image: mode ``L`` or ``RGB``, as `open_image` returns it.
        size: height and width in pixels, at least 1.
        channels: 1 (grey) or 3 (red, green, blue).

    Raises `UserError` for a size or channels other than these.
    """
    if size < 1:
        raise UserError(f"expected `size` to be at least 1 pixel, but got {size}.")
    if channels not in (1, 3):
        raise UserError(f"expected `channels` to be 1 (grey) or 3 (colour), but got {channels}.")
    square = central_square(image.convert("L" if channels == 1 else "RGB"), size)
    return np.array(square, dtype=np.uint8).reshape(size, size, channels)


def central_square(image: Image.Image, size: int) -> Image.Image:
    """Return the largest central square of a picture, resized to (size, size)."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.LANCZOS)


def centred_digit(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return a drawing, light on dark, scaled and centred like MNIST's digits.

    Its longer side becomes 20/28 of the size, and its centre of mass the middle (LeCun et al.,
    1998). An empty drawing stays empty. The result is (size, size, 1) uint8.
    """
    grey = image.convert("L")
    box = grey.point([255 * (value > 32) for value in range(256)]).getbbox()
    if box is None:
        return np.zeros((size, size, 1), np.uint8)
    ink = grey.crop(box)
    scale = size * 20 / 28 / max(ink.size)
    width, height = (max(round(side * scale), 1) for side in ink.size)
    small = ink.resize((width, height), Image.Resampling.LANCZOS)
    weight = np.asarray(small, np.float64)
    total = max(weight.sum(), 1.0)
    x = (weight.sum(axis=0) @ (np.arange(width) + 0.5)) / total
    y = (weight.sum(axis=1) @ (np.arange(height) + 0.5)) / total
    page = Image.new("L", (size, size))
    page.paste(small, (round(size / 2 - x), round(size / 2 - y)))
    return np.array(page, dtype=np.uint8).reshape(size, size, 1)


def _read(source: Path | str | bytes | BinaryIO, name: str | None) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        content, called = source[: MAX_BYTES + 1], repr(name) if name else "the image"
    elif isinstance(source, (str, Path)):
        path = Path(source)
        called = repr(name or str(path))
        if not path.is_file():
            raise UserError(f"expected {called} to be an image file, but there is no such file.")
        try:
            with path.open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise UserError(
                f"expected {called} to be readable, but got: {error.strerror or error}."
            ) from None
    else:
        own = getattr(source, "name", None)
        called = repr(name or own) if name or isinstance(own, str) else "the image"
        if source.seekable():
            source.seek(0)
        content = source.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UserError(
            f"expected {called} to have at most {MAX_BYTES / 2**20:.0f} MB, but it is larger;"
            " save it smaller."
        )
    return content, called


def _too_many_pixels(called: str, count: str) -> UserError:
    return UserError(
        f"expected {called} to have at most {MAX_PIXELS / 1e6:.0f} million pixels,"
        f" but it has {count}; scale it down first."
    )


def _check_pixels(picture: Image.Image, called: str) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(called, f"{width} × {height}")


def _cleaned(picture: Image.Image) -> OpenedImage:
    notes: list[str] = []
    upright = _upright(picture, notes)
    if upright.mode.startswith("I") or upright.mode == "F":
        opaque = _rescaled(upright, notes)
    else:
        opaque = _opaque(upright, notes)
    # Last, as the search for a second frame moves on from the first.
    with suppress(Exception):
        if getattr(picture, "is_animated", False):
            notes.append("It has several frames; only the first is used.")
    return OpenedImage(opaque, tuple(notes))


def _upright(picture: Image.Image, notes: list[str]) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # tags are untrusted bytes, too
        notes.append("Its rotation tag cannot be read, so it is shown as it was stored.")
        return picture.copy()


def _rescaled(picture: Image.Image, notes: list[str]) -> Image.Image:
    values = np.asarray(picture).astype(np.float64)
    if picture.mode.startswith("I;16"):
        notes.append("Its 16-bit values were rescaled to 8 bits.")
        return Image.fromarray(np.round(values / 257).astype(np.uint8))
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError("all its values are NaN or infinite")
    low, high = float(values[finite].min()), float(values[finite].max())
    if low == high:
        notes.append(f"All its values are {low:g}, so it shows nothing but one grey.")
        return Image.new("L", picture.size, int(np.clip(low, 0, 255)))
    clean = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    notes.append(f"Its values from {low:g} to {high:g} were rescaled to 0 to 255.")
    return Image.fromarray(np.round((clean - low) * (255 / (high - low))).astype(np.uint8))


def _opaque(picture: Image.Image, notes: list[str]) -> Image.Image:
    grey = picture.mode in ("1", "L", "LA")
    if not picture.has_transparency_data:
        if picture.mode == "CMYK":
            notes.append("It was converted from print colours (CMYK), so its colours may differ.")
        return picture.convert("L" if grey else "RGB")
    see_through = picture.convert("RGBA")
    if see_through.getchannel("A").getextrema() != (255, 255):
        notes.append("Its transparent parts were placed on white.")
    background = Image.new("RGBA", picture.size, (BACKGROUND,) * 4)
    return Image.alpha_composite(background, see_through).convert("L" if grey else "RGB")
