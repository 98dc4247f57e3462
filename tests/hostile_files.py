"""Damaged and hostile pictures and archives, opened in child processes that may die.

    python -m tests.hostile_files [--seed N] [--count N]
    python -m tests.hostile_files --digest N [--seed N]

Nothing is stored: file number n of a seed is always the same. A child opens one file after another
and tells what it took, so the parent knows which one crashed it, hung it or filled its memory. What
makes the files, with encoders in C, is a process of its own too.
"""

import argparse
import io
import signal
import struct
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image, features

from core.data.images import FORMATS
from core.foundation.errors import UserError
from tests.memory import most_memory

COUNT = 1500
SECONDS = 2.0  # of a core, for one file
MEGABYTES = 360.0  # beyond those of a process that has opened nothing
_HANG = 3  # seconds of a core, after which a child is ended
_MOST_BYTES = 20_000_000
_ROWS = 16  # of a picture that are packed at once
_AVIF = features.check("avif")


# --- Pictures


def _noise(random: np.random.RandomState, width: int = 24, height: int = 16) -> Image.Image:
    return Image.fromarray(random.randint(0, 256, (height, width, 3), dtype=np.uint8))


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _seed_picture(random: np.random.RandomState) -> tuple[str, bytes]:
    forms: list[tuple[str, str, dict[str, object]]] = [
        *(("PNG", mode, {}) for mode in ("RGB", "RGBA", "P", "1", "L", "LA", "I;16")),
        *(("JPEG", mode, {}) for mode in ("RGB", "L", "CMYK")),
        ("JPEG", "RGB", {"progressive": True}),
        *(("AVIF", mode, {"speed": 10}) for mode in ("RGB", "RGBA") if _AVIF),
        *(("WEBP", mode, {"lossless": bool(random.randint(2))}) for mode in ("RGB", "RGBA")),
        *(("GIF", "P", {}), ("BMP", "RGB", {}), ("BMP", "1", {})),
        *([("HEIF", "RGB", {})] if "HEIF" in FORMATS else []),
        *(("TIFF", mode, {}) for mode in ("RGB", "I;16", "F", "CMYK")),
        *(
            ("TIFF", "RGB", {"compression": compression})
            for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg")
        ),
        ("PNG", "RGB", {"save_all": True, "append_images": [_noise(random)]}),
        ("GIF", "P", {"save_all": True, "append_images": [_noise(random)]}),
    ]
    kind, mode, options = forms[random.randint(len(forms))]
    image = _noise(random)
    image = image.convert("L").convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
    return f"{kind} {mode}", _saved(image, kind, **options)


def _damaged(content: bytes, random: np.random.RandomState) -> bytes:
    body = bytearray(content.ljust(8, b"\0"))
    match random.randint(6):
        case 0:  # bytes
            for _ in range(random.randint(1, 12)):
                body[random.randint(len(body))] = random.randint(256)
        case 1:  # an end
            del body[random.randint(len(body)) :]
        case 2:  # a number in the header
            at = random.randint(min(len(body) - 4, 60))
            value = (0, 1, 255, 2**16 - 1, 2**31 - 1, 2**32 - 1)[random.randint(6)]
            body[at : at + 4] = struct.pack(("<I", ">I")[random.randint(2)], value)
        case 3:  # a part twice
            start, end = sorted(random.randint(len(body), size=2))
            body[end:end] = body[start:end] * random.randint(1, 50)
        case 4:  # a hole
            start, end = sorted(random.randint(len(body), size=2))
            body[start:end] = bytes(end - start)
        case 5:  # noise behind a head
            keep = random.randint(4, len(body))
            body[keep:] = random.bytes(random.randint(1, 2000))
    return bytes(body)


def _chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, depth: int, colour: int, before: bytes = b"", filter_: int = 0
) -> bytes:
    """Return a PNG of zeros of any claimed size and depth."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes([filter_]) + bytes((width * samples * depth + 7) // 8)
    times, rest = divmod(height, _ROWS)
    packer, rows = zlib.compressobj(1), row * min(height, _ROWS)
    packed = b"".join(packer.compress(rows) for _ in range(times)) + packer.compress(row * rest)
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    palette = _chunk(b"PLTE", bytes(768)) + _chunk(b"tRNS", bytes(256)) if colour == 3 else b""
    data = _chunk(b"IDAT", packed + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + header + before + palette + data + _chunk(b"IEND")


def _tiff(strips: int, width: int, height: int, *more: tuple[int, int, int, int]) -> bytes:
    tags = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)),
        *((262, 3, 1, 1), (273, 4, strips, 14 + 12 * (8 + len(more))), (277, 3, 1, 1)),
        *((278, 4, 1, 1), *more),
    ]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4 + 4 * strips)


def _jpeg(between: bytes = b"", **options: object) -> bytes:
    content = _saved(Image.new("RGB", (16, 16)), "JPEG", **options)
    return content[:2] + between + content[2:]


def _scans(count: int) -> bytes:
    content = _saved(Image.new("RGB", (6000, 6000)), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * count + content[-2:]


def _gif_comments() -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + b"!\xfe"
    picture = b"\0," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0;"
    return head + b"\x01a" * (_MOST_BYTES // 2 - 100) + picture


def _small_avif() -> bytes:
    if not _AVIF:
        return b""
    content = _saved(Image.new("RGB", (8000, 8000)), "AVIF", speed=10)
    return content.replace(struct.pack(">II", 8000, 8000), struct.pack(">II", 16, 16))


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG of 6,300 × 6,300 in 16-bit RGBA": lambda: png(6300, 6300, 16, 6),
    "PNG in 16-bit RGBA, as large as it may be": lambda: png(4990, 4990, 16, 6, filter_=4),
    "PNG in 8-bit RGBA, as large as it may be": lambda: png(6120, 6120, 8, 6, filter_=4),
    "PNG in 16-bit grey, as large as it may be": lambda: png(7060, 7060, 16, 0, filter_=4),
    "PNG with a palette, as large as it may be": lambda: png(7060, 7060, 8, 3),
    "PNG one pixel wide": lambda: png(1, 9_900_000, 8, 0),
    "PNG one pixel high": lambda: png(49_000_000, 1, 8, 0),
    "PNG of 2³¹ pixels a side": lambda: png(16, 16, 8, 2).replace(
        struct.pack(">II", 16, 16), struct.pack(">II", 2**31 - 1, 2**31 - 1)
    ),
    "PNG with 400,000 texts": lambda: png(9, 9, 8, 2, _chunk(b"tEXt", b"a\0b") * 400_000),
    "PNG with 1,500,000 private chunks": lambda: png(9, 9, 8, 2, _chunk(b"abCd") * 1_500_000),
    "PNG with a text that unpacks to much": lambda: png(
        *(9, 9, 8, 2), _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 1))
    ),
    "TIFF with 4,900,000 strips": lambda: _tiff(4_900_000, 1, 4_900_000),
    "TIFF with strips of nothing": lambda: _tiff(4_900_000, 8, 8),
    "TIFF with a tile of 2³² pixels": lambda: _tiff(
        1, 8, 8, (322, 4, 1, 65_536), (323, 4, 1, 65_536), (324, 4, 1, 8), (325, 4, 1, 8)
    ),
    "JPEG with 4,000,000 segments": lambda: _jpeg(b"\xff\xe5\0\2" * 4_000_000),
    "JPEG with 1,400,000 Exif parts": lambda: _jpeg(b"\xff\xe1\0\x0cExif\0\0aaaa" * 1_400_000),
    "JPEG with 60 more scans": lambda: _scans(60),
    "JPEG with 20 more scans": lambda: _scans(20),
    "JPEG of 48 million pixels": lambda: _saved(
        Image.new("RGB", (8000, 6000)), "JPEG", progressive=True, subsampling=0
    ),
    "WEBP, as large as it may be": lambda: _saved(
        Image.new("RGBA", (4300, 4300)), "WEBP", lossless=True, method=0
    ),
    "AVIF, as large as it may be": lambda: _saved(
        Image.new("RGB", (4300, 4300)), "AVIF" if _AVIF else "WEBP", speed=10
    ),
    "AVIF that says it is small": _small_avif,
    "GIF with 10,000,000 comments": _gif_comments,
    "GIF, as large as it may be": lambda: _saved(Image.new("P", (7050, 7050)), "GIF"),
    "TIFF in CMYK, as large as it may be": lambda: _saved(
        Image.new("CMYK", (6100, 6100)), "TIFF", compression="tiff_lzw"
    ),
    "TIFF of floats, as large as it may be": lambda: _saved(
        Image.new("F", (6100, 6100)), "TIFF", compression="tiff_adobe_deflate"
    ),
    "nothing": lambda: b"",
    "zeros": lambda: bytes(1000),
}


def picture(seed: int, number: int) -> tuple[str, bytes]:
    """Return a damaged or hostile picture and what it is; `BOMBS` come first."""
    if number < len(BOMBS):
        name = list(BOMBS)[number]
        return name, BOMBS[name]()
    random = np.random.RandomState([seed, number])
    name, content = _seed_picture(random)
    for _ in range(random.randint(1, 4)):
        content = _damaged(content, random)
    return f"damaged {name}", content


# --- Archives


def _member(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name)  # of 1980: a name alone would be written with the time of day


def _archive(random: np.random.RandomState) -> bytes:
    content = io.BytesIO()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    names = ("cat/1.png", "dog\\2.jpg", "../up.png", "/etc/a.png", "__MACOSX/._1.png", "é/ü.png")
    with zipfile.ZipFile(content, "w") as archive:
        for name in names[: random.randint(1, len(names) + 1)]:
            body = _seed_picture(random)[1]
            archive.writestr(_member(name), body, methods[min(random.randint(8), 3)])
    return content.getvalue()


def archive(seed: int, number: int) -> tuple[str, bytes]:
    """Return a damaged or hostile zip archive and what it is."""
    random = np.random.RandomState([seed, number, 1])
    if number % 20 == 0:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as packed:
            for index in range(1 + number % 7):
                member, body = _member(f"{index}.bmp"), bytes(30_000_000)
                packed.writestr(member, body, zipfile.ZIP_DEFLATED, compresslevel=1)
        return "a zip of bombs", content.getvalue()
    content = _archive(random)
    for _ in range(random.randint(1, 4)):
        content = _damaged(content, random)
    return "a damaged zip", content


# --- Children


def opened(kind: str, content: bytes) -> str:
    """Open a file as the project does; return "opened" or "refused"."""
    from core.data.archives import files_in_zip
    from core.data.images import MAX_BYTES, open_image

    try:
        if kind == "break":
            _break(content)
        elif kind == "picture":
            assert open_image(content, "it").image.mode in ("L", "RGB")
        else:
            for file in files_in_zip(content, "it").files:
                body = file.read()
                assert len(body) <= MAX_BYTES + 1
                open_image(body, file.name)
    except UserError:
        return "refused"
    return "opened"


def _break(content: bytes) -> None:
    """Do what no file may do, to see that it is noticed."""
    match content:
        case b"crash":
            signal.raise_signal(signal.SIGSEGV)
        case b"hang":
            while True:
                pass
        case b"memory":
            np.ones(100_000_000)
        case b"raise":
            raise ZeroDivisionError


def _megabytes() -> float:
    return most_memory() / 2**20


def child(kind: str) -> None:
    """Open the files that come on stdin; print of each the seconds, megabytes and outcome."""
    warnings.simplefilter("ignore")  # of decoders
    opened(kind, b"")  # imports what is needed
    at_first = _megabytes()
    while size := sys.stdin.buffer.read(8):
        content = sys.stdin.buffer.read(int.from_bytes(size))
        before = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _HANG)
        try:
            outcome = opened(kind, content)
        except Exception as error:
            outcome = f"raised {error!r}".replace("\n", " ")
        signal.setitimer(signal.ITIMER_PROF, 0)
        seconds = time.process_time() - before
        sys.stdout.write(f"{seconds:.3f} {_megabytes() - at_first:.0f} {outcome}\n")
        sys.stdout.flush()


def _child(kind: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hostile_files", "--child", kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # of decoders in C
        cwd=Path(__file__).resolve().parents[1],
    )


def run(kind: str, files: Iterable[tuple[str, bytes]]) -> list[str]:
    """Open files, given with what they are, in children; return what went wrong, in sentences."""
    wrong: list[str] = []
    process = _child(kind)
    for number, (name, content) in enumerate(files):
        assert process.stdin is not None
        assert process.stdout is not None
        body = content[:_MOST_BYTES]
        with suppress(BrokenPipeError):
            process.stdin.write(len(body).to_bytes(8) + body)
            process.stdin.flush()
        answer = process.stdout.readline().decode().split(maxsplit=2)
        if answer:
            seconds, megabytes, outcome = float(answer[0]), float(answer[1]), answer[2].strip()
            bad = [outcome] if outcome not in ("opened", "refused") else []
            bad += [f"took {seconds:.1f} s"] if seconds > SECONDS else []
            bad += [f"took {megabytes:.0f} MB"] if megabytes > MEGABYTES else []
        else:
            bad = [f"ended the process with {process.wait()}"]
        if bad:
            wrong.append(f"{kind} {number}, {name}: {', '.join(bad)}")
            _end(process)
            process = _child(kind)
    _end(process)
    return wrong


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(BrokenPipeError):
        process.communicate()


def corpus(seed: int, count: int) -> list[str]:
    """Open so many files, a tenth of them archives; return what went wrong."""
    zips = count // 10
    return [
        *run("picture", (picture(seed, number) for number in range(count - zips))),
        *run("zip", (archive(seed, number) for number in range(zips))),
    ]


def main() -> int:
    """Open the files of a seed; return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--child", choices=("picture", "zip", "break"), help=argparse.SUPPRESS)
    parser.add_argument("--digest", type=int, metavar="N", help="only tell files N from others")
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return 0
    if given.digest is not None:
        (_, one), (_, other) = picture(given.seed, given.digest), archive(given.seed, given.digest)
        sys.stdout.write(f"{sha256(one).hexdigest()} {sha256(other).hexdigest()}\n")
        return 0
    wrong = corpus(given.seed, given.count)
    summary = f"{given.count:,} files, {len(wrong):,} went wrong"
    sys.stdout.write("\n".join([*wrong, summary]) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
