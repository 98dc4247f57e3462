"""Sources of data sets: downloads and folders that become prepared data sets.

Another data set is one function registered in `DATASETS`.
"""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from core.data.encoded import at_size, write_encoded
from core.data.fetch import RemoteFile, fetch
from core.data.folders import OnNote, parquet_files, read_folder, read_parquet
from core.data.pictures import PictureSet
from core.data.prepared import FILES, ImageSet, prepared_path, write_prepared
from core.data.transform import EvaluationTransform
from core.foundation.errors import UserError, nearest
from core.foundation.files import FULL, workspace
from core.foundation.jobs import OnProgress
from core.foundation.registry import Registry

DIGITS = tuple("0123456789")
BY_HAND = ("tiny-imagenet",)  # has to be downloaded by the user
_FETCHED = 0.9  # progress when all files are downloaded


def _silent(fraction: float, message: str) -> None:
    pass


def _untold(note: str) -> None:
    pass


@dataclass(frozen=True)
class Request:
    """Arguments of a function in `DATASETS`.

    Attributes:
        name: of the data set.
        workspace: an empty temporary folder for downloads.
        source: the user's own folder of files or pictures, if any.
        size: height and width that pictures are resized to, in pixels.
        progress: whether to draw bars on stderr.
        on_progress: see `prepare`.
        skip_broken: see `read_folder`.
        natural: see `read_folder`.
        on_note: see `read_folder`.
    """

    name: str
    workspace: Path
    source: Path | None
    size: int | None
    progress: bool
    on_progress: OnProgress = _silent
    skip_broken: bool = False
    natural: bool = False
    on_note: OnNote = _untold


Sets = tuple[ImageSet | PictureSet, ...]
"""Train and test, or train, calibration and test."""
Source = Callable[[Request], Sets]
DATASETS: Registry[Source] = Registry("data set")


def prepare(
    name: str,
    root: Path | None = None,
    source: Path | None = None,
    size: int | None = None,
    progress: bool = True,
    on_progress: OnProgress = _silent,
    *,
    skip_broken: bool = False,
    natural: bool = False,
    on_note: OnNote = _untold,
) -> Path:
    """Make the prepared data set `<root>/<name>/{train,test}.npz`; return its folder.

    Pictures of several or large sizes stay encoded, in `{train,test}-*.parquet`. Pictures that come
    with a calibration split have it in a file of its own.

    An existing one is replaced only when the new one is complete. After any error nothing partial
    is left.

    Args:
        name: one of `DATASETS`, or any name for the pictures in ``source``.
        root: folder of prepared data sets, see `data_root`.
        source: folder to read instead of downloading: torchvision's files of that data set, or
            pictures in class folders or Parquet files (see `core.data.folders`).
        size: height and width for pictures from class folders, in pixels.
        progress: whether to draw bars on stderr.
        on_progress: called with the completed fraction in [0, 1] and a sentence; an exception from
            it ends the work.
        skip_broken: whether to leave out pictures that cannot be read.
        natural: whether classes are sorted as people count, 2 before 10.
        on_note: told what was left out or may surprise, in a sentence.

    Raises `UserError` when there is no connection, no room, a damaged download, nothing usable
    in ``source``, or no such data set.
    """
    folder = prepared_path(name, "train", root).parent
    make = DATASETS.get(name, _own)
    with workspace(folder) as temporary:
        work, made = temporary / "work", temporary / "made"
        work.mkdir()
        request = Request(
            *(name, work, source, size, progress, on_progress),
            *(skip_broken, natural, on_note),
        )
        sets = make(request)
        on_progress(0.95, "Writing it …")
        files = FILES if len(sets) == len(FILES) else (FILES[0], FILES[-1])
        for file, one in zip(files, sets, strict=True):
            if isinstance(one, PictureSet):
                write_encoded(one, file, made)
            else:
                write_prepared(name, file, one.images, one.labels, one.classes, made)
        _move(made / name, folder)
    return folder


def can_download(name: str) -> bool:
    """Return whether `prepare` can make a data set without a folder to read."""
    return name in DATASETS and name not in BY_HAND


def _own(request: Request) -> Sets:
    if request.source is None:
        raise UserError(
            f"expected one of the data sets {', '.join(DATASETS)}, but got {request.name!r}."
            f"{nearest(request.name, DATASETS)}"
            " For images of your own, name their folder with `--from FOLDER`."
        )
    if parquet_files(request.source):
        sets = read_parquet(request.name, request.source)
        if request.size is None:
            return sets
        transform = EvaluationTransform.square(request.size, 3, (0.0,) * 3, (1.0,) * 3)
        return tuple(at_size(one, transform, len(one)) for one in sets)
    return read_folder(
        request.name,
        request.source,
        request.size,
        request.progress,
        skip_broken=request.skip_broken,
        natural=request.natural,
        on_note=request.on_note,
    )


@DATASETS.register("tiny-imagenet")
def tiny_imagenet(request: Request) -> Sets:
    """100,000 + 10,000 photographs of 200 classes, 64 × 64 colour (Le and Yang 2015)."""
    if request.source is None:
        raise UserError(
            "expected the unpacked folder `tiny-imagenet-200` for tiny-imagenet, which cannot be"
            " downloaded from here; fetch the archive yourself and name it with `--from FOLDER`."
        )
    return _own(request)


def _from_torchvision(
    name: str, own_files: str, request: Request
) -> tuple[ImageSet | PictureSet, ...]:
    """Read a data set of torchvision's, or the pictures in the user's folder instead.

    Args:
        name: of its class in `torchvision.datasets`.
        own_files: file or folder that marks the user's folder as one of torchvision's files.
        request: names the data set, the folder and the size.
    """
    source = request.source
    if source is not None and not (source / own_files).exists():
        if source.is_dir() and not any(path.is_dir() for path in source.iterdir()):
            raise UserError(
                f"expected `{own_files}` as torchvision keeps it, or folders of images, one per"
                f" class, in {source}, but there is neither; name another folder."
            )
        return _own(request)
    if request.size is not None:
        raise UserError(
            f"expected no size for {request.name}, which has one of its own,"
            f" but got {request.size}; leave it out."
        )
    from torchvision import datasets

    kind = getattr(datasets, name)
    sets = []
    with _errors_as_sentences(request):
        if source is None:
            _fetch_all(request, _remote_files(kind, request.workspace))
        request.on_progress(_FETCHED, "Unpacking and checking …")
        with _quiet_stdout(request.progress):
            for split in ("train", "test"):
                # torchvision does not download again what `_fetch_all` has downloaded
                data_set = _open(kind, source or request.workspace, split, download=source is None)
                pixels = np.asarray(data_set.data)
                if pixels.ndim == 3:  # MNIST's are grey
                    pixels = pixels[..., None]
                elif pixels.shape[1] == 3:  # SVHN's have their channels first
                    pixels = np.transpose(pixels, (0, 2, 3, 1))
                targets = data_set.labels if name == "SVHN" else data_set.targets
                labels = np.asarray(targets).astype(np.int64)
                classes = tuple(data_set.classes) if name.startswith("CIFAR") else DIGITS
                images = np.ascontiguousarray(pixels)
                sets.append(ImageSet.counted(request.name, split, images, labels, classes))
    return sets[0], sets[1]


for _name, _kind, _own_files in (
    ("mnist", "MNIST", "MNIST"),
    ("svhn", "SVHN", "train_32x32.mat"),
    ("cifar10", "CIFAR10", "cifar-10-batches-py"),
    ("cifar100", "CIFAR100", "cifar-100-python"),
):
    DATASETS.register(_name)(partial(_from_torchvision, _kind, _own_files))


def _remote_files(kind: Any, folder: Path) -> list[RemoteFile]:
    if hasattr(kind, "mirrors"):  # MNIST
        raw = folder / "MNIST" / "raw"
        return [
            RemoteFile(raw / file, [f"{mirror}{file}" for mirror in kind.mirrors], md5)
            for file, md5 in kind.resources
        ]
    if hasattr(kind, "split_list"):  # SVHN
        wanted = [kind.split_list[split] for split in ("train", "test")]
        return [RemoteFile(folder / file, [url], md5) for url, file, md5 in wanted]
    return [RemoteFile(folder / kind.filename, [kind.url], kind.tgz_md5)]


def _open(kind: Any, folder: Path, split: str, download: bool) -> Any:
    if not hasattr(kind, "split_list"):
        return kind(folder, train=split == "train", download=download)
    if download:
        return kind(folder, split=split, download=True)

    class Trusted(kind):  # type: ignore[misc]
        """SVHN's own format in files of the user's, whatever their checksums."""

        def _check_integrity(self) -> bool:
            return True

    return Trusted(folder, split=split)


def _fetch_all(request: Request, files: Sequence[RemoteFile]) -> None:
    for number, file in enumerate(files):
        with tqdm(
            desc=file.path.name, unit="B", unit_scale=True, disable=not request.progress
        ) as bar:

            def on_bytes(
                done: int, total: int | None, number: int = number, bar: tqdm = bar
            ) -> None:
                bar.total = total
                bar.update(done - bar.n)
                share = (number + (done / total if total else 0)) / len(files)
                of = f" of {total / 1e6:.1f}" if total else ""
                request.on_progress(
                    _FETCHED * share,
                    f"Downloading file {number + 1} of {len(files)}: {done / 1e6:.1f}{of} MB",
                )

            request.on_progress(_FETCHED * number / len(files), "Waiting for the server …")
            fetch(file, on_bytes)


@contextlib.contextmanager
def _quiet_stdout(progress: bool) -> Iterator[None]:
    """Send what torchvision prints to stderr, or nowhere."""
    stream = sys.stderr if progress else io.StringIO()
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield


@contextlib.contextmanager
def _errors_as_sentences(request: Request) -> Iterator[None]:
    """Turn torchvision's exceptions about downloads and files into a `UserError`."""
    try:
        yield
    except Exception as error:  # parsers may raise anything for untrusted files
        full = isinstance(error, OSError) and error.errno in FULL
        if isinstance(error, UserError) or full:
            raise
        if request.source is not None:
            raise UserError(
                f"expected the files of {request.name} in {request.source} to be complete,"
                f" but got: {_line(error)}; replace them."
            ) from None
        raise UserError(
            f"expected to download {request.name}, but got: {_line(error)};"
            " check the connection and try again, or name a folder of its files with `--from`."
        ) from None


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def _move(made: Path, folder: Path) -> None:
    if not folder.exists():
        made.rename(folder)
        return
    names = {path.name for path in made.iterdir()}
    for name in sorted(names):
        (made / name).replace(folder / name)
    for file in FILES:
        for old in (folder / f"{file}.npz", *folder.glob(f"{file}-*.parquet")):
            if old.name not in names:
                old.unlink(missing_ok=True)
