"""Where data sets come from, and how each becomes a prepared one.

A further data set is one function registered in `DATASETS`.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from core.data.fetch import FULL, RemoteFile, fetch
from core.data.folders import read_folder
from core.data.prepared import ImageSet, prepared_path, write_prepared
from core.foundation.errors import UserError, nearest
from core.foundation.jobs import Tell
from core.foundation.places import data_root
from core.foundation.registry import Registry

DIGITS = tuple("0123456789")
BY_HAND = ("tiny-imagenet",)  # known, but nothing to download from here
_FETCHED = 0.9  # of all the work, once the files are there


def _nobody(fraction: float, says: str) -> None:
    pass


@dataclass(frozen=True)
class Request:
    """What a data set's function gets to work with.

    Attributes:
        name: name of the data set.
        workspace: an empty folder that is removed afterwards, for downloads.
        source: the user's own folder of files or pictures, if any.
        size: height and width asked for, in pixels, where pictures are resized.
        progress: whether to draw bars on stderr.
        tell: told how far it is; may raise to call it off.
    """

    name: str
    workspace: Path
    source: Path | None
    size: int | None
    progress: bool
    tell: Tell = _nobody


# makes (train, test)
Source = Callable[[Request], tuple[ImageSet, ImageSet]]
DATASETS: Registry[Source] = Registry("data set")


def prepare(
    name: str,
    root: Path | None = None,
    source: Path | None = None,
    size: int | None = None,
    progress: bool = True,
    tell: Tell = _nobody,
) -> Path:
    """Make the prepared data set `<root>/<name>/{train,test}.npz`; return its folder.

    An existing one is replaced, and only when the new one is complete. Whatever goes wrong,
    nothing half-made is left behind.

    Args:
        name: one of `DATASETS`, or any name for the pictures in ``source``.
        root: folder of prepared data sets, see `data_root`.
        source: folder to read instead of downloading: torchvision's files of that data set, or
            pictures in class folders (see `read_folder`).
        size: height and width for pictures from class folders, in pixels.
        progress: whether to draw bars on stderr.
        tell: told how far it is; what it raises calls it off.

    Raises `UserError` when there is no connection, no room, a damaged download, nothing usable
    in ``source``, or no such data set.
    """
    folder = prepared_path(name, "train", root).parent
    make: Source = _own
    if name in DATASETS:
        make = DATASETS[name]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix=f".{name}-", suffix=".partial"
        ) as temporary:
            workspace, made = Path(temporary, "work"), Path(temporary, "made")
            workspace.mkdir()
            train, test = make(Request(name, workspace, source, size, progress, tell))
            tell(0.95, "Writing it …")
            write_prepared(name, "train", train.images, train.labels, train.classes, made)
            write_prepared(name, "test", test.images, test.labels, test.classes, made)
            _move(made / name, folder)
    except OSError as error:
        raise _unwritable(error, data_root(root)) from None
    return folder


def can_download(name: str) -> bool:
    """Tell whether `prepare` can make a data set without a folder to read."""
    return name in DATASETS and name not in BY_HAND


def _own(request: Request) -> tuple[ImageSet, ImageSet]:
    if request.source is None:
        raise UserError(
            f"expected one of the data sets {', '.join(DATASETS)}, but got {request.name!r}."
            f"{nearest(request.name, DATASETS)}"
            " For images of your own, name their folder with `--from FOLDER`."
        )
    return read_folder(request.name, request.source, request.size, request.progress)


@DATASETS.register("mnist")
def mnist(request: Request) -> tuple[ImageSet, ImageSet]:
    """60,000 + 10,000 digits, 28 × 28 grey (LeCun et al. 1998)."""
    if _holds_pictures(request, "MNIST"):
        return _own(request)

    def part(root: Path, train: bool, download: bool) -> tuple[Any, Any, tuple[str, ...]]:
        from torchvision import datasets

        found = datasets.MNIST(root, train=train, download=download)
        return np.asarray(found.data)[..., None], found.targets, DIGITS

    def files() -> list[RemoteFile]:
        from torchvision.datasets import MNIST

        raw = request.workspace / "MNIST" / "raw"
        return [
            RemoteFile(raw / file, [f"{mirror}{file}" for mirror in MNIST.mirrors], md5)
            for file, md5 in MNIST.resources
        ]

    return _from_torchvision(request, part, files)


@DATASETS.register("svhn")
def svhn(request: Request) -> tuple[ImageSet, ImageSet]:
    """73,257 + 26,032 house numbers, 32 × 32 colour (Netzer et al. 2011); 0 is labelled 0.

    A user's own `train_32x32.mat` and `test_32x32.mat` are read whatever their checksums.
    """
    if _holds_pictures(request, "train_32x32.mat"):
        return _own(request)

    def part(root: Path, train: bool, download: bool) -> tuple[Any, Any, tuple[str, ...]]:
        from torchvision import datasets

        class Trusted(datasets.SVHN):  # type: ignore[misc]
            def _check_integrity(self) -> bool:
                return True

        split = "train" if train else "test"
        found = (datasets.SVHN if download else Trusted)(root, split=split, download=download)
        return np.transpose(found.data, (0, 2, 3, 1)), found.labels, DIGITS

    def files() -> list[RemoteFile]:
        from torchvision.datasets import SVHN

        wanted = [SVHN.split_list[split] for split in ("train", "test")]
        return [RemoteFile(request.workspace / file, [url], md5) for url, file, md5 in wanted]

    return _from_torchvision(request, part, files)


@DATASETS.register("cifar10")
def cifar10(request: Request) -> tuple[ImageSet, ImageSet]:
    """50,000 + 10,000 photographs of 10 classes, 32 × 32 colour (Krizhevsky 2009)."""
    return _cifar(request, "CIFAR10", "cifar-10-batches-py")


@DATASETS.register("cifar100")
def cifar100(request: Request) -> tuple[ImageSet, ImageSet]:
    """50,000 + 10,000 photographs of 100 classes, 32 × 32 colour (Krizhevsky 2009)."""
    return _cifar(request, "CIFAR100", "cifar-100-python")


@DATASETS.register("tiny-imagenet")
def tiny_imagenet(request: Request) -> tuple[ImageSet, ImageSet]:
    """100,000 + 10,000 photographs of 200 classes, 64 × 64 colour (Le and Yang 2015)."""
    if request.source is None:
        raise UserError(
            "expected the unpacked folder `tiny-imagenet-200` for tiny-imagenet, which cannot be"
            " downloaded from here; fetch the archive yourself and name it with `--from FOLDER`."
        )
    return _own(request)


def _cifar(request: Request, kind: str, files: str) -> tuple[ImageSet, ImageSet]:
    if _holds_pictures(request, files):
        return _own(request)

    def part(root: Path, train: bool, download: bool) -> tuple[Any, Any, tuple[str, ...]]:
        from torchvision import datasets

        found = getattr(datasets, kind)(root, train=train, download=download)
        return found.data, found.targets, tuple(found.classes)

    def remote() -> list[RemoteFile]:
        from torchvision import datasets

        one = getattr(datasets, kind)
        return [RemoteFile(request.workspace / one.filename, [one.url], one.tgz_md5)]

    return _from_torchvision(request, part, remote)


def _holds_pictures(request: Request, files: str) -> bool:
    source = request.source
    if source is None or (source / files).exists():
        return False
    if source.is_dir() and not any(path.is_dir() for path in source.iterdir()):
        raise UserError(
            f"expected `{files}` as torchvision keeps it, or folders of images, one per class,"
            f" in {source}, but there is neither; name another folder."
        )
    return True


def _from_torchvision(
    request: Request,
    part: Callable[[Path, bool, bool], tuple[Any, Any, tuple[str, ...]]],
    files: Callable[[], list[RemoteFile]],
) -> tuple[ImageSet, ImageSet]:
    if request.size is not None:
        raise UserError(
            f"expected no size for {request.name}, which has one of its own,"
            f" but got {request.size}; leave it out."
        )
    sets = []
    if request.source is None:
        with _told_as_a_sentence(request):
            _fetch_all(request, files())
    request.tell(_FETCHED, "Unpacking and checking …")
    # what lies in the workspace already, torchvision does not download again
    with _told_as_a_sentence(request), _quiet_stdout(request.progress):
        for train in (True, False):
            images, labels, classes = part(
                request.source or request.workspace, train, request.source is None
            )
            split = "train" if train else "test"
            pixels: NDArray[np.uint8] = np.ascontiguousarray(images)
            numbers = np.asarray(labels).astype(np.int64)
            sets.append(ImageSet.counted(request.name, split, pixels, numbers, classes))
    return sets[0], sets[1]


def _fetch_all(request: Request, files: Sequence[RemoteFile]) -> None:
    for number, file in enumerate(files):
        with tqdm(
            desc=file.path.name, unit="B", unit_scale=True, disable=not request.progress
        ) as bar:

            def on_bytes(
                done: int, whole: int | None, number: int = number, bar: tqdm = bar
            ) -> None:
                bar.total = whole
                bar.update(done - bar.n)
                share = (number + (done / whole if whole else 0)) / len(files)
                of = f" of {whole / 1e6:.1f}" if whole else ""
                request.tell(
                    _FETCHED * share,
                    f"Downloading file {number + 1} of {len(files)}: {done / 1e6:.1f}{of} MB",
                )

            request.tell(_FETCHED * number / len(files), "Waiting for the server to answer …")
            fetch(file, on_bytes)


@contextlib.contextmanager
def _quiet_stdout(progress: bool) -> Iterator[None]:
    """Send what torchvision prints to stderr, or nowhere."""
    stream = sys.stderr if progress else io.StringIO()
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield


@contextlib.contextmanager
def _told_as_a_sentence(request: Request) -> Iterator[None]:
    """Turn what torchvision raises about downloads and files into a `UserError`."""
    try:
        yield
    except Exception as error:  # parsers of foreign files may raise anything
        full = isinstance(error, OSError) and error.errno in FULL
        if isinstance(error, UserError) or full:
            raise
        if request.source is not None:
            raise UserError(
                f"expected the files of {request.name} in {request.source} to be whole,"
                f" but got: {_line(error)}; replace them."
            ) from None
        raise UserError(
            f"expected to download {request.name} whole, but got: {_line(error)};"
            " check the connection and try again, or name a folder of its files with `--from`."
        ) from None


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def _move(made: Path, folder: Path) -> None:
    if not folder.exists():
        made.rename(folder)
        return
    for file in ("test.npz", "train.npz"):
        (made / file).replace(folder / file)


def _unwritable(error: OSError, root: Path) -> UserError:
    if error.errno in FULL:
        return UserError(
            f"expected room for the data set in {root}, but the disk is full;"
            " free some, or choose another folder with `--data FOLDER`."
        )
    return UserError(
        f"expected to make the data set in {root}, but got: {error};"
        " mend the permissions, or choose another folder with `--data FOLDER`."
    )
