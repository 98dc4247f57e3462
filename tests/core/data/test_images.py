"""Any bytes become a usable picture, or a sentence."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.data import images
from core.data.images import centred_digit, fit, open_image
from core.data.polarity import has_light_edge
from core.foundation.errors import UserError


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def gradient(mode: str = "RGB") -> Image.Image:
    values = np.linspace(0, 255, 12 * 8 * 3).reshape(8, 12, 3).astype(np.uint8)
    return Image.fromarray(values).convert(mode)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_pixels_arrive_unchanged(kind: str) -> None:
    opened = open_image(saved(gradient(), kind))
    assert opened.notes == ()
    np.testing.assert_array_equal(np.asarray(opened.image), np.asarray(gradient()))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "AVIF", "HEIF"])
def test_lossy_kinds_open_too(kind: str) -> None:
    opened = open_image(saved(gradient(), kind))
    assert (opened.image.mode, opened.image.size, opened.notes) == ("RGB", (12, 8), ())


def test_path_bytes_and_file_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(saved(gradient()))
    with path.open("rb") as stream:
        stream.read()  # an upload that was read before is read from its beginning
        opened = [open_image(source) for source in (path, str(path), path.read_bytes(), stream)]
    for one in opened:
        np.testing.assert_array_equal(np.asarray(one.image), np.asarray(gradient()))


@pytest.mark.parametrize(
    ("mode", "kind", "result"),
    [
        ("1", "PNG", "L"),
        ("L", "PNG", "L"),
        ("LA", "PNG", "L"),
        ("P", "PNG", "RGB"),
        ("RGB", "PNG", "RGB"),
        ("RGBA", "PNG", "RGB"),
        ("CMYK", "JPEG", "RGB"),
        ("CMYK", "TIFF", "RGB"),
        ("YCbCr", "JPEG", "RGB"),
        ("I;16", "PNG", "L"),
        ("I;16", "TIFF", "L"),
        ("I", "TIFF", "L"),
        ("F", "TIFF", "L"),
    ],
)
def test_every_mode_becomes_grey_or_colour(mode: str, kind: str, result: str) -> None:
    image = gradient("L").convert("I").convert(mode) if mode == "I;16" else gradient(mode)
    assert open_image(saved(image, kind)).image.mode == result


def test_sixteen_bits_are_rescaled_not_clipped() -> None:
    values = np.linspace(0, 65_535, 100).reshape(10, 10).astype(np.uint16)
    opened = open_image(saved(Image.fromarray(values)))
    np.testing.assert_allclose(np.asarray(opened.image), values / 257, atol=0.51)
    assert "16-bit" in opened.notes[0]


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_sixteen_bits_of_which_fewer_are_used_are_rescaled_to_what_is_used(bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 100).reshape(10, 10).astype(np.uint16)
    opened = open_image(saved(Image.fromarray(values)))
    np.testing.assert_allclose(np.asarray(opened.image), values / (2**bits - 1) * 255, atol=0.51)
    assert f"use {bits} of 16 bits" in opened.notes[0]


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_wide_values_are_stretched_over_the_whole_range(kind: type) -> None:
    values: Any = np.linspace(-1000, 3000, 100).reshape(10, 10).astype(kind)
    opened = open_image(saved(Image.fromarray(values), "TIFF"))
    result = np.asarray(opened.image)
    assert (result.min(), result.max()) == (0, 255)
    np.testing.assert_allclose(result, (values + 1000.0) / 4000 * 255, atol=0.6)
    assert "-1000 to 3000" in opened.notes[0]


def test_values_that_are_not_numbers_do_not_spoil_the_rest() -> None:
    values = np.array([[0, 1, np.nan], [np.inf, -np.inf, 0.5]], dtype=np.float32)
    opened = open_image(saved(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(np.asarray(opened.image), [[0, 255, 0], [255, 0, 128]])


def test_nothing_but_nan_is_refused() -> None:
    values = np.full((3, 3), np.nan, dtype=np.float32)
    with pytest.raises(UserError, match="NaN"):
        open_image(saved(Image.fromarray(values), "TIFF"))


def test_one_grey_stays_one_grey() -> None:
    opened = open_image(saved(Image.new("F", (4, 4), 100.0), "TIFF"))
    assert opened.image.getextrema() == (100, 100)
    assert len(opened.notes) == 1


def palette_with_hole() -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    return saved(image, transparency=1)


@pytest.mark.parametrize(
    ("content", "left", "right"),
    [
        (palette_with_hole(), (255, 0, 0), (255, 255, 255)),
        (
            saved(Image.fromarray(np.array([[[9, 8, 7, 255], [9, 8, 7, 0]]], np.uint8))),
            (9, 8, 7),
            (255, 255, 255),
        ),
        (saved(Image.fromarray(np.array([[[9, 255], [9, 0]]], np.uint8), "LA")), 9, 255),
        (saved(Image.fromarray(np.array([[9, 7]], np.uint8)), transparency=7), 9, 255),
        (
            saved(
                Image.fromarray(np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8)),
                transparency=(1, 2, 3),
            ),
            (9, 8, 7),
            (255, 255, 255),
        ),
    ],
    ids=["palette", "RGBA", "LA", "L with a key", "RGB with a key"],
)
def test_transparent_parts_lie_on_white(content: bytes, left: Any, right: Any) -> None:
    opened = open_image(content)
    assert (opened.image.getpixel((0, 0)), opened.image.getpixel((1, 0))) == (left, right)
    assert opened.notes == ("Its transparent parts were placed on white.",)


def test_half_transparent_is_half_white() -> None:
    opened = open_image(saved(Image.new("RGBA", (1, 1), (0, 0, 0, 128))))
    assert opened.image.getpixel((0, 0)) == (127, 127, 127)


def test_an_alpha_channel_that_hides_nothing_needs_no_note() -> None:
    assert open_image(saved(gradient("RGBA"))).notes == ()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_used(kind: str) -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    opened = open_image(saved(red, kind, save_all=True, append_images=[blue], lossless=True))
    assert opened.image.getpixel((4, 4)) == (255, 0, 0)
    assert opened.notes == ("It has several frames; only the first is used.",)


def test_the_camera_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    upright = open_image(saved(gradient(), exif=exif))
    expected = gradient().transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(np.asarray(upright.image), np.asarray(expected))


@pytest.mark.parametrize("tags", [b"Exif\0\0MM\0*\0\0\0\xff", b"Exif\0\0garbage", b"\xff" * 64])
def test_broken_tags_do_not_lose_the_picture(tags: bytes) -> None:
    assert open_image(saved(gradient(), "JPEG", exif=tags)).image.size == (12, 8)


def test_tags_that_raise_leave_the_picture_as_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: object) -> None:
        raise struct.error("unpack requires more bytes")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.getexif", raising)
    opened = open_image(saved(gradient()))
    np.testing.assert_array_equal(np.asarray(opened.image), np.asarray(gradient()))
    assert "rotation" in opened.notes[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
def test_extreme_sizes_open_and_fit(size: tuple[int, int]) -> None:
    opened = open_image(saved(Image.new("RGB", size, (1, 2, 3))))
    assert opened.image.size == size
    np.testing.assert_array_equal(fit(opened.image, 32, 3), np.full((32, 32, 3), [1, 2, 3]))


def test_a_large_picture_is_read_at_half_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_AT_ONCE", 24)
    for kind, mode in (("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "L"), ("JPEG", "RGB")):
        assert open_image(saved(gradient(mode), kind)).image.size == (12, 8)
        opened = open_image(saved(gradient(mode), kind), most_pixels=60)
        assert opened.image.size == (6, 4)
        assert "read at half" in opened.notes[0]
        close = np.asarray(gradient(mode).convert(opened.image.mode).reduce(2), np.int64)
        assert np.abs(np.asarray(opened.image) - close).max() <= (24 if kind == "JPEG" else 1)


def test_what_a_header_says_is_counted_by_depth_and_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_DECODING", 96 * 10)
    deep = np.zeros((8, 12), np.uint16)
    assert open_image(saved(gradient())).image.size == (12, 8)
    assert open_image(saved(Image.fromarray(deep))).image.size == (12, 8)
    for kind in ("WEBP", "TIFF"):
        wide = gradient("RGB") if kind == "WEBP" else gradient("CMYK")
        options = {"compression": "jpeg"} if kind == "TIFF" else {}
        with pytest.raises(UserError, match="million pixels"):
            open_image(saved(wide, kind, **options))


def test_too_many_bytes_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 50)
    content = saved(gradient())
    sources: list[Any] = [content, io.BytesIO(content)]
    for source in sources:
        with pytest.raises(UserError, match="at most"):
            open_image(source, "big.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [6_600, 10_000, 100_000, 2**31 - 1])
def test_too_many_pixels_are_refused_before_decoding(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(UserError, match=r"at most (43|50) million pixels"):
        open_image(png_claiming(side, side))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_pictures_are_refused(kind: str) -> None:
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    content = saved(Image.fromarray(noise), kind)
    with pytest.raises(UserError, match=r"'cat\.img'"):
        open_image(content[: len(content) // 2], "cat.img")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "none of these"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "but it is SVG"),
        (b"<!DOCTYPE html><html>404</html>", "but it is a web page"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avif", "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of these"),
        (saved(Image.new("RGB", (2, 2)), "PPM"), "none of these"),
        (saved(Image.new("RGB", (2, 2)), "PDF"), "but it is PDF"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        open_image(content)


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.png", "there is no such file"), (".", "it is a folder")]
)
def test_a_missing_file_is_named(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=reason):
        open_image(tmp_path / name)


SEEDS: list[Callable[[], bytes]] = [
    lambda: saved(gradient()),
    lambda: saved(gradient("P")),
    lambda: saved(gradient(), "JPEG"),
    lambda: saved(gradient(), "GIF"),
    lambda: saved(gradient(), "WEBP"),
    lambda: saved(gradient(), "TIFF"),
    lambda: saved(gradient(), "BMP"),
    lambda: saved(gradient(), "AVIF"),
    lambda: saved(gradient(), "HEIF"),
]


@given(
    seed=st.sampled_from(SEEDS),
    damage=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=5),
)
def test_whatever_the_damage_it_opens_or_says_why(
    seed: Callable[[], bytes], damage: list[tuple[int, int]]
) -> None:
    content = bytearray(seed())
    for place, value in damage:
        content[place % len(content)] = value
    try:
        opened = open_image(bytes(content))
    except UserError:
        return
    assert opened.image.mode in ("L", "RGB")


def test_a_picture_of_the_right_size_keeps_its_pixels() -> None:
    values = np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8)
    np.testing.assert_array_equal(fit(Image.fromarray(values), 32, 3), values)
    np.testing.assert_array_equal(fit(Image.fromarray(values[..., 0]), 32, 1), values[..., :1])


def test_the_middle_square_is_kept() -> None:
    values = np.zeros((10, 30), np.uint8)
    values[:, 10:20] = 200
    for turned in (values, values.T):
        np.testing.assert_array_equal(fit(Image.fromarray(turned), 5, 1), np.full((5, 5, 1), 200))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1, 28, 64])
def test_fit_gives_the_shape_asked_for(mode: str, channels: int, size: int) -> None:
    array = fit(gradient(mode), size, channels)
    assert array.shape == (size, size, channels)
    assert array.dtype == np.uint8
    assert array.flags.writeable


@pytest.mark.parametrize(("size", "channels"), [(0, 3), (-1, 1), (32, 2), (32, 4)])
def test_impossible_inputs_are_refused(size: int, channels: int) -> None:
    with pytest.raises(UserError, match=r"expected `(size|channels)`"):
        fit(gradient(), size, channels)


@pytest.mark.parametrize(("edge", "light"), [(255, True), (0, False)])
def test_ink_on_paper_has_a_light_edge(edge: int, light: bool) -> None:
    pixels = np.full((28, 28, 1), edge, np.uint8)
    pixels[8:20, 8:20] = 255 - edge
    assert has_light_edge(pixels) is light


def test_a_drawing_becomes_a_digit_in_the_middle() -> None:
    page = Image.new("L", (112, 112))
    page.paste(255, (5, 60, 15, 100))  # a 1, low and to the left
    pixels = centred_digit(page, 28)
    assert pixels.shape == (28, 28, 1)
    rows, columns = np.nonzero(pixels[:, :, 0] > 128)
    assert rows.max() - rows.min() + 1 == 20
    assert abs(rows.mean() - 13.5) <= 0.5
    assert abs(columns.mean() - 13.5) <= 0.5


def test_an_empty_drawing_stays_empty() -> None:
    assert not centred_digit(Image.new("L", (50, 50)), 28).any()


def test_a_phones_format_that_cannot_be_read_here_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "FORMATS", images.FORMATS[:6])
    with pytest.raises(UserError, match=r"but it is HEIC; .* or `pip install pillow-heif`"):
        open_image(saved(gradient(), "HEIF"))
