"""Untrusted pictures: open them safely, and bring them to a network's input size."""

import io
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from core.foundation.errors import UserError


def _of_newer_phones() -> Iterator[str]:
    if features.check("avif"):
        yield "AVIF"
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)
        yield "HEIF"


FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", *_of_newer_phones())
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif"),
)
"""Usual endings of files of these formats; what a file is, its content decides."""
START = 12
"""Bytes by which a format is known."""
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000
MAX_DECODING = 300_000_000
"""Bytes that a decoder may need at once, by what the header says."""
REDUCED_ABOVE = 8_000_000
"""Pixels; a larger picture is read at half its size, or less, unless another limit is given."""
BACKGROUND = 255  # white, behind transparent parts

_MAX_PIECES = 100_000  # reads of a parser: segments, chunks, blocks and tags take one or more each
_MAX_STRIPS = 100_000  # of a TIFF; Pillow keeps a tuple for each
_MAX_SCANS = 32  # of a JPEG, each over the whole picture; encoders make about ten
_AT_ONCE = 2**19  # pixels that are converted together
_ROW = 4  # pixels that take as much memory as Pillow's pointers to a row do
_DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners put into 16
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the latter two: 64-bit
_TILE = (322, 323)  # tags of a TIFF: width and height of a tile
_TIFF_COMPRESSIONS = (
    *("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate"),
    *("jpeg", "tiff_ccitt", "group3", "group4"),
)
_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", *_TIFF)
_OTHER_KINDS = {
    "AVIF": rb".{4}ftyp(avif|avis)",
    "HEIC": rb".{4}ftyp(hei|hev|mif1|msf1)",
    "a web page": rb"\s*<(!doctype|html)",
    "SVG": rb"\s*<(\?xml|svg)",
    "PDF": rb"%PDF",
}
_PLUGINS = {"AVIF": "AVIF", "HEIC": "HEIF"}  # that read some of these
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by the Exif tag of the camera's orientation


class _TooManyPiecesError(Exception):
    pass


class _Bounded(io.BytesIO):
    """A picture's bytes, for a parser that may read only so many pieces of them."""

    _pieces = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._pieces += 1
        if self._pieces > _MAX_PIECES:
            raise _TooManyPiecesError
        return super().read(size)


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """A picture that is safe to use.

    Attributes:
        image: mode ``L`` or ``RGB``, upright, nothing transparent.
        notes: sentences on what had to be changed, to be shown beside the picture.
    """

    image: Image.Image
    notes: tuple[str, ...]


def open_image(
    source: Path | str | bytes | BinaryIO,
    name: str | None = None,
    *,
    most_pixels: int = REDUCED_ABOVE,
) -> OpenedImage:
    """Open an untrusted picture.

    Only `FORMATS` are tried, whatever the file's name. The memory and time that decoding takes are
    limited before it begins: bytes, parts, and pixels by format and depth. A large picture is read
    at half its size, or less. Of an animation the first frame is taken, 16-bit and float values
    are rescaled to the range in use instead of clipped, transparent parts are placed on white, and
    the camera's rotation is applied.

    Args:
        source: a path, the file's bytes, or an open binary file (read from its beginning).
        name: for messages; by default the file's own name.
        most_pixels: of the result; a larger picture is read at a half of its sides, or a fourth,
            and so on.

    Raises `UserError` for a file that is missing, too large, damaged or not a picture.
    """
    content, called = _read(source, name)
    if not content:
        raise UserError(f"expected {called} to be an image, but it is empty; choose another file.")
    try:
        _check_parts(content)
        with Image.open(_Bounded(content), formats=FORMATS) as picture:
            _check_pixels(picture, called)
            pixels = picture.width * picture.height
            reduction = _reduction(pixels, most_pixels)
            if isinstance(picture, JpegImageFile):  # a part of its frequencies is a smaller one
                width, height = (max(side // reduction, 1) for side in picture.size)
                picture.draft(None, (width, height))
            picture.load()
            opened = _cleaned(picture, most_pixels)
    except UserError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(called, MAX_PIXELS, "far more") from None
    except _TooManyPiecesError:
        raise UserError(
            f"expected {called} to be an ordinary image, but it is made of far more parts than one"
            " needs; save it again as PNG or JPEG."
        ) from None
    except UnidentifiedImageError:
        kind = _kind(content)
        if _PLUGINS.get(kind) in FORMATS:
            raise _damaged(called, f"{kind} without a picture") from None
        how = " or `pip install pillow-heif` where this runs" if kind == "HEIC" else ""
        raise UserError(
            f"expected {called} to be an image ({', '.join(FORMATS)}),"
            f" but it is {kind}; save it as PNG or JPEG{how}."
        ) from None
    except Exception as error:  # a decoder may raise anything for hostile bytes
        raise _damaged(called, str(error) or type(error).__name__) from None
    if reduction == 1:
        return opened
    share = {2: "half"}.get(reduction, f"1/{reduction} of")
    sentence = f"Its {pixels / 1e6:.0f} million pixels were read at {share} its width and height."
    return OpenedImage(opened.image, (sentence, *opened.notes))


def with_reasons(broken: Mapping[str, str]) -> str:
    """Return the names of pictures that `open_image` did not open, each with the reason in short.

    Args:
        broken: the error's sentence by name.
    """
    reasons = []
    for name, sentence in broken.items():
        reason = re.search(r"\bbut (.+?)(;|\.?$)", sentence)
        reasons.append(f"{name} ({reason[1] if reason else sentence})")
    return ", ".join(reasons)


def starts_like_picture(first: bytes) -> bool:
    """Return whether the first `START` bytes of a file are a picture's."""
    return (
        first.startswith(_STARTS)
        or (first[:4] == b"RIFF" and first[8:12] == b"WEBP")
        or _kind(first) in ("AVIF", "HEIC")
    )


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
            what = "it is a folder" if path.is_dir() else "there is no such file"
            raise UserError(f"expected {called} to be an image file, but {what}.")
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


def _kind(content: bytes) -> str:
    for kind, start in _OTHER_KINDS.items():
        if re.match(start, content[:200], re.DOTALL | re.IGNORECASE):
            return kind
    return "none of these"


def _damaged(called: str, how: str) -> UserError:
    return UserError(
        f"expected {called} to be an intact image, but it is damaged or of an unusual kind"
        f" ({how}); save it again as PNG or JPEG."
    )


def _too_many_pixels(called: str, most: float, got: str) -> UserError:
    return UserError(
        f"expected {called} to have at most {most / 1e6:.0f} million pixels,"
        f" but it has {got}; scale it down first."
    )


def _check_parts(content: bytes) -> None:
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > _MAX_SCANS:
        raise _TooManyPiecesError
    if content.startswith(_TIFF) and _strips(content) > _MAX_STRIPS:
        raise _TooManyPiecesError


def _strips(content: bytes) -> int:
    """Return the number of strips or tiles of a TIFF's first picture."""
    order, big = "<" if content.startswith(b"I") else ">", b"+" in content[:4]
    number, count, size = ("Q", "Q", 20) if big else ("I", "H", 12)
    (start,) = struct.unpack_from(order + number, content, 8 if big else 4)
    (tags,) = struct.unpack_from(order + count, content, start)
    start += struct.calcsize(count)
    most = 0
    for place in range(start, start + size * min(tags, 65_535), size):
        tag, _, values = struct.unpack_from(f"{order}HH{number}", content, place)
        if tag in (ExifTags.Base.StripOffsets, ExifTags.Base.TileOffsets):
            most = max(most, values)
    return most


def _check_pixels(picture: Image.Image, called: str) -> None:
    width, height = picture.size
    if isinstance(picture, TiffImageFile):
        compression = picture.info.get("compression", "raw")
        if compression not in _TIFF_COMPRESSIONS:
            raise ValueError(f"its compression is {compression}")
        tile = (picture.tag_v2.get(tag, 0) for tag in _TILE)
        width, height = (max(sides) for sides in zip((width, height), tile, strict=True))
    most = min(MAX_PIXELS, MAX_DECODING / _bytes_per_pixel(picture))
    if (width + _ROW) * height > most:
        raise _too_many_pixels(called, most, f"{width} × {height}")


def _bytes_per_pixel(picture: Image.Image) -> int:
    """Return an upper limit of the memory that decoding needs for each pixel."""
    bands = len(picture.getbands())
    frequencies = 2 * bands  # of a JPEG that is not stored row by row
    if isinstance(picture, JpegImageFile):
        return frequencies
    if picture.format == "WEBP":
        return 16  # two frames, their copy, and the picture
    if picture.format in ("AVIF", "HEIF"):
        return 10  # measured
    assert isinstance(picture, ImageFile.ImageFile)
    bits = re.search(r";(\d+)", str(picture.tile[0].args) if picture.tile else "")
    stored = bands * max(int(bits[1]) if bits else 8, 8) // 8
    return 4 + stored + (frequencies if picture.info.get("compression") == "jpeg" else 0)


def _reduction(pixels: int, most: int) -> int:
    """Return by what a picture's sides are divided: a power of two, which JPEG can be read at."""
    return 1 << max(math.ceil(math.log2(pixels / most) / 2), 0)


def _cleaned(picture: Image.Image, most_pixels: int) -> OpenedImage:
    notes: list[str] = []
    if picture.mode.startswith("I") or picture.mode == "F":
        mode, convert = "L", _rescaling(picture, notes)
    else:
        mode = "L" if picture.mode in ("1", "L", "LA") else "RGB"
        if picture.mode == "CMYK":
            notes.append("It was converted from print colours (CMYK), so its colours may differ.")

        def convert(strip: Image.Image) -> Image.Image:
            return _opaque(strip, mode, notes)

    reduction = _reduction(picture.width * picture.height, most_pixels)
    width, height = (-(-side // reduction) for side in picture.size)
    flat = Image.new(mode, (width, height))
    for top, strip in _strips_of(picture, reduction):
        flat.paste(convert(strip).reduce(reduction), (0, top // reduction))
    upright = _upright(flat, picture, notes)
    # Last, as the search for a second frame moves on from the first.
    with suppress(Exception):
        if getattr(picture, "is_animated", False):
            notes.append("It has several frames; only the first is used.")
    return OpenedImage(upright, tuple(dict.fromkeys(notes)))


def _strips_of(picture: Image.Image, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Yield a picture in strips of its whole width, each with the row that it begins at."""
    width, height = picture.size
    rows = max(_AT_ONCE // width, 1) * multiple
    for top in range(0, height, rows):
        yield top, picture.crop((0, top, width, min(top + rows, height)))


def _upright(flat: Image.Image, picture: Image.Image, notes: list[str]) -> Image.Image:
    try:
        turn = _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # tags are untrusted bytes, too
        notes.append("Its rotation tag cannot be read, so it is shown as it was stored.")
        return flat
    return flat if turn is None else flat.transpose(turn)


def _rescaling(picture: Image.Image, notes: list[str]) -> Callable[[Image.Image], Image.Image]:
    """Return what brings a picture's numbers, in strips, to the range from 0 to 255."""
    low, high = _extremes(picture)
    if picture.mode.startswith("I;16"):
        bits = next(bits for bits in _DEPTHS if high < 2**bits)
        use = "Its 16-bit values" if bits == 16 else f"Its values, which use {bits} of 16 bits,"
        notes.append(f"{use} were rescaled to 8 bits.")
        table = np.round(np.arange(2**bits) * (255 / (2**bits - 1))).astype(np.uint8)
        return lambda strip: Image.fromarray(table[np.asarray(strip)])
    if low == high:
        notes.append(f"All its values are {low:g}, so it shows nothing but one grey.")
        grey = int(np.clip(low, 0, 255))
        return lambda strip: Image.new("L", strip.size, grey)
    notes.append(f"Its values from {low:g} to {high:g} were rescaled to 0 to 255.")

    def rescaled(strip: Image.Image) -> Image.Image:
        values = np.asarray(strip).astype(np.float64)
        clean = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
        return Image.fromarray(np.round((clean - low) * (255 / (high - low))).astype(np.uint8))

    return rescaled


def _extremes(picture: Image.Image) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for _, strip in _strips_of(picture):
        values = np.asarray(strip)
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise ValueError("all its values are NaN or infinite")
    return low, high


def _opaque(picture: Image.Image, mode: str, notes: list[str]) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert(mode)
    see_through = picture.convert("RGBA")
    if see_through.getchannel("A").getextrema() != (255, 255):
        notes.append("Its transparent parts were placed on white.")
    background = Image.new("RGBA", picture.size, (BACKGROUND,) * 4)
    return Image.alpha_composite(background, see_through).convert(mode)
