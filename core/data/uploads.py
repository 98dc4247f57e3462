"""Pictures of the user: files from an archive, an upload or a folder, read one by one."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.data.file_names import composed, distinct, is_litter
from core.data.images import FORMATS, MAX_BYTES, START, SUFFIXES, open_image, starts_like_picture
from core.data.polarity import has_light_edge
from core.data.transform import EvaluationTransform
from core.foundation.errors import UserError

MOST_PICTURES = 5_000
MOST_FILES = 20_000  # other files included
MOST_BYTES = 64 * 2**20  # of an archive, or of all uploaded files together
_LONGEST_NAME = 120


class Read(Protocol):
    """Reads a file."""

    def __call__(self, most: int = MAX_BYTES + 1) -> bytes:
        """Return its bytes, at most so many of them."""


@dataclass(frozen=True)
class OwnFile:
    """A file that may be a picture.

    Attributes:
        name: its path inside the archive or folder, with ``/``; only shown, never opened.
        read: returns its bytes.
    """

    name: str
    read: Read

    @property
    def seems_a_picture(self) -> bool:
        """Whether its name ends like a picture's, or else it begins like one."""
        if Path(self.name).suffix.lower() in SUFFIXES:
            return True
        try:
            return starts_like_picture(self.read(START))
        except (UserError, OSError):
            return False


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and the reason in a sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Collection:
    """Files to read as pictures.

    Attributes:
        called: name of the collection, for messages.
        files: at most `MOST_PICTURES`, that seem to be pictures.
        skipped: the other files.
        litter: number of files besides, hidden or left by a system, see `is_litter`.
    """

    called: str
    files: tuple[OwnFile, ...]
    skipped: tuple[Skipped, ...]
    litter: int = 0

    def __len__(self) -> int:
        return len(self.files)


def collected(files: Iterable[OwnFile], called: str) -> Collection:
    """Return the collection of some files, sorted by name; the second of a name gets a number.

    What a file is, its content decides; only names that end like a picture's are believed until
    the picture is read.

    Args:
        files: in any order.
        called: name of the collection, for messages.

    Raises:
        UserError: no picture, or more than `MOST_PICTURES`.
    """
    pictures, skipped, litter = [], [], 0
    for file in files:
        if is_litter(file.name):
            litter += 1
        elif file.seems_a_picture:
            pictures.append(file)
        else:
            skipped.append(Skipped(shown(file.name), "not a picture, by its content"))
    formats = ", ".join(FORMATS)
    if not pictures:
        others = f" but {len(skipped):,} other files" if skipped else ""
        raise UserError(
            f"expected pictures ({formats}) in {called}, but there are none{others}: choose another"
            " one."
        )
    if len(pictures) > MOST_PICTURES:
        raise UserError(
            f"expected at most {MOST_PICTURES:,} pictures in {called}, but got {len(pictures):,}: "
            "choose fewer."
        )
    pictures.sort(key=lambda file: file.name)
    skipped.sort(key=lambda file: file.name)
    names = distinct([file.name for file in pictures])
    renamed = (OwnFile(name, file.read) for name, file in zip(names, pictures, strict=True))
    return Collection(called, tuple(renamed), tuple(skipped), litter)


def uploaded_files(files: Sequence[tuple[str, bytes]], called: str) -> Collection:
    """Return the collection of files that were uploaded one by one, as names and bytes.

    Raises:
        UserError: as `collected`; or more than `MOST_BYTES` in all.
    """
    size = sum(len(content) for _, content in files)
    if size > MOST_BYTES:
        raise too_large(called, size)
    return collected(
        (OwnFile(plain_path(name), partial(_first_bytes, content)) for name, content in files),
        called,
    )


def files_in_folder(folder: str, below: Path) -> Collection:
    """Return the pictures in a folder of this machine, at any depth.

    Args:
        folder: a path, absolute or relative to ``below``. Links are not followed.
        below: only folders in here may be read.

    Raises:
        UserError: as `collected`; or a folder that does not exist, or is not below ``below``.
    """
    try:
        root = below.resolve(strict=True)
        place = (root / Path(folder).expanduser()).resolve()
        inside = place.is_relative_to(root) and place.is_dir()
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise UserError(
            f"expected a folder below {below}, but got {folder!r}, which is not there: check the "
            "path."
        )
    return collected(_files_below(place), repr(place.name))


def _files_below(folder: Path) -> Iterator[OwnFile]:
    count = 0
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            if path.is_symlink() or not path.is_file():
                continue
            count += 1
            if count > MOST_FILES:
                raise too_many(repr(folder.name))
            yield OwnFile(plain_path(path.relative_to(folder).as_posix()), partial(_read, path))


def _read(path: Path, most: int = MAX_BYTES + 1) -> bytes:
    with path.open("rb") as stream:
        return stream.read(most)


def _first_bytes(content: bytes, most: int = MAX_BYTES + 1) -> bytes:
    return content[:most]


def too_many(called: str) -> UserError:
    """Return the error for a collection of more than `MOST_FILES`."""
    return UserError(
        f"expected at most {MOST_FILES:,} files in {called}, but there are more: choose fewer."
    )


def too_large(called: str, size: int) -> UserError:
    """Return the error for a collection of more than `MOST_BYTES`."""
    return UserError(
        f"expected {called} to have at most {MOST_BYTES / 2**20:.0f} MB, but it has "
        f"{size / 2**20:.0f} MB: choose fewer pictures, or scale them down first."
    )


def plain_path(name: str) -> str:
    """Return a path of any operating system with ``/`` between its parts, accents in letters."""
    return "/".join(
        part for part in composed(name).replace("\\", "/").split("/") if part not in ("", ".", "..")
    )


def shown(name: str) -> str:
    """Return a file's name for display: printable, and not too long."""
    text = "".join(sign if sign.isprintable() else "�" for sign in name)
    return text if len(text) <= _LONGEST_NAME else f"…{text[-_LONGEST_NAME + 1 :]}"


@dataclass(frozen=True, eq=False)
class OwnPictures:
    """Pictures as a network reads them, in the order of their names.

    Attributes:
        pixels: (N, H, W, C) uint8.
        labels: (N,) classes that their folders are named after; -1 where no folder is.
        names: N names for display.
        skipped: files that were left out.
        strange_folders: folders that are named after no class, with the number of unlabelled
            pictures in each, largest first.
        exchanged: number of pictures whose light and dark were exchanged.
        changed: what else had to be changed to read some, as sentences, with the number of
            pictures that each is about, largest first.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    strange_folders: tuple[tuple[str, int], ...]
    exchanged: int
    changed: tuple[tuple[str, int], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def labelled(self) -> int:
        """Number of pictures with a label."""
        return int(np.count_nonzero(self.labels >= 0))


class OwnReader:
    """Reader of a collection, picture by picture, so that the caller may stop or show progress."""

    def __init__(
        self, classes: Sequence[str], transform: EvaluationTransform, light_on_dark: bool
    ) -> None:
        """Start with no pictures.

        Args:
            classes: the K names of a network's classes.
            transform: the network's evaluation transform.
            light_on_dark: whether the network reads light ink on dark paper; pictures with a light
                edge are then turned into their negatives.
        """
        self._labels_of = {_normalised(name): label for label, name in enumerate(classes)}
        self._transform, self._light_on_dark = transform, light_on_dark
        self._pixels: list[NDArray[np.uint8]] = []
        self._labels: list[int] = []
        self._names: list[str] = []
        self._skipped: list[Skipped] = []
        self._strange: Counter[str] = Counter()
        self._exchanged = 0
        self._changed: Counter[str] = Counter()

    def read(self, file: OwnFile) -> NDArray[np.uint8] | None:
        """Return the pixels (H, W, C) of another picture, or None when it has to be skipped."""
        name = shown(file.name)
        try:
            opened = open_image(file.read(), name)
            pixels = self._transform.pixels(opened.image)
        except UserError as error:
            self._skipped.append(Skipped(name, str(error)))
            return None
        except OSError as error:
            reason = f"it cannot be read: {error.strerror or 'input or output failed'}."
            self._skipped.append(Skipped(name, reason))
            return None
        if self._light_on_dark and has_light_edge(pixels):
            pixels = 255 - pixels
            self._exchanged += 1
        self._changed.update(opened.notes)
        label = self._label(file.name)
        self._pixels.append(pixels)
        self._labels.append(label)
        self._names.append(name)
        return pixels

    def _label(self, name: str) -> int:
        folders = name.split("/")[:-1]
        for folder in reversed(folders):
            label = self._labels_of.get(_normalised(folder))
            if label is not None:
                return label
        if folders:
            self._strange[shown(folders[-1])] += 1
        return -1

    def all_read(self, before: Sequence[Skipped] = ()) -> OwnPictures:
        """Return all pictures read so far; ``before`` are files skipped earlier."""
        return OwnPictures(
            pixels=np.stack(self._pixels) if self._pixels else np.zeros((0, 0, 0, 0), np.uint8),
            labels=np.array(self._labels, np.int64),
            names=tuple(self._names),
            skipped=(*before, *self._skipped),
            strange_folders=tuple(self._strange.most_common()),
            exchanged=self._exchanged,
            changed=tuple(self._changed.most_common()),
        )


def _normalised(name: str) -> str:
    return composed(re.sub(r"[\s_-]+", " ", name).strip().casefold())
