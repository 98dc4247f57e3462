"""Data sets from folders of pictures, one folder per class."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from core.data.file_names import (
    composed,
    files_below,
    is_litter,
    natural_order,
    sorted_as_text,
)
from core.data.images import (
    FORMATS,
    START,
    SUFFIXES,
    fit,
    open_image,
    starts_like_picture,
    with_reasons,
)
from core.data.pictures import PictureFiles, PictureSet, read_picture_set
from core.data.prepared import FILES, File, ImageSet, check_disjoint
from core.foundation.errors import UserError

VALIDATION = ("val", "valid", "validation")
"""Usual names of the folder that is neither for training nor for the test."""
ANNOTATIONS = "val_annotations.txt"
LARGEST_IN_FULL = 128
"""Side in pixels up to which images of one size are kept as arrays: larger ones stay encoded."""
ENOUGH_TO_PROMISE = 50
"""Calibration images; with fewer, nothing is promised that images in two splits could break."""
_MOST_NAMED = 20  # files in one sentence

OnNote = Callable[[str], None]
"""Told what was left out or may surprise, in a sentence."""
Labelled = list[tuple[Path, int]]


def named_splits(folders: Collection[str], where: str) -> dict[str, File]:
    """Return which split each folder holds, by the folders' names; {} where they name none.

    Beside ``train`` and ``test``, ``val`` (or valid, validation) is calibration. Without ``test``
    it is the test split. Upper or lower case does not matter.

    Raises `UserError` when several folders would be the same split.
    """
    held: dict[str, list[str]] = {"train": [], "test": [], "val": []}
    for name in sorted(folders):
        small = name.lower()
        split = "val" if small in VALIDATION else small
        if split in held:
            held[split].append(name)
    if not held["train"] or not (held["val"] or held["test"]):
        return {}
    for split, names in held.items():
        if len(names) > 1:
            usual = ", ".join(VALIDATION) if split == "val" else split
            raise UserError(
                f"expected one of the folders {usual} in {where}, but got "
                f"{' and '.join(names)}: put their images together, or leave one out."
            )
    of_val: File = "calibration" if held["test"] else "test"
    meanings: dict[str, File] = {"train": "train", "test": "test", "val": of_val}
    return {name: meanings[split] for split, names in held.items() for name in names}


def read_folder(
    name: str,
    source: Path,
    size: int | None = None,
    progress: bool = True,
    *,
    skip_broken: bool = False,
    natural: bool = False,
    on_note: OnNote = lambda note: None,
) -> tuple[ImageSet | PictureSet, ...]:
    """Read a folder of pictures as train and test, or as train, calibration and test.

    Three layouts are understood; pictures may lie at any depth below their class's folder:

    - `<class>/…`: a fifth of every class, drawn with seed 0, becomes test.
    - `train/<class>/…` beside `test/` or `val/` in the same form; beside both, `val/` is the
      calibration split. See `named_splits`.
    - Tiny-ImageNet's own: `train/<wnid>/images/…`, and `val/images/…` with
      `val/val_annotations.txt`. Labels follow `wnids.txt`, names come from `words.txt`.

    Classes are the folders' names, sorted as text, as torchvision sorts them; a folder without
    pictures is none. A file is a picture when its name ends like one or its content begins like
    one. With a ``size``, and where all pictures are equal squares of at most `LARGEST_IN_FULL`
    pixels, they become arrays of squares, see `core.data.images.fit`, which stay grey only when all
    of them are. Other pictures stay as they are, encoded; each is opened once.

    Args:
        size: height and width in pixels that pictures are resized to.
        progress: whether to draw a bar on stderr.
        skip_broken: whether to go on without the pictures that cannot be read.
        natural: whether to sort classes as people count: 2 before 10.
        on_note: told of files and folders that are left out, of pictures that had to be changed
            (values rescaled, read smaller), and of classes named by numbers.

    Raises `UserError` when there is no such folder, when it has fewer than two classes, for
    pictures that cannot be read (names all of them), and for calibration images that are also
    training or test images, where they are at least `ENOUGH_TO_PROMISE`.
    """
    if not source.is_dir():
        raise UserError(
            f"expected a folder of class folders at {source}, but there is no such folder."
        )
    if size is not None and size < 1:
        raise UserError(f"expected the size to be at least 1 pixel, but got {size}.")
    listed, classes = _listed(source, natural, on_note)
    if surprise := sorted_as_text(classes):
        on_note(f"{surprise} Add `--natural-order` to have them so.")
    if not listed["test"]:
        raise UserError(
            f"expected enough images in {source} to keep some for the test split, but got"
            f" {len(listed['train'])}; add images, at least 2 in some class."
        )
    if not listed.get("calibration", True):
        raise UserError(
            f"expected images for the calibration split beside the test split in {source}, but its "
            "folder has none: add some, or remove the folder."
        )
    present = [split for split in FILES if split in listed]
    paths = [path for split in present for path, _ in listed[split]]
    side = size or _common_side(paths, progress)
    images, broken, changed = _read(paths, side, name, progress)
    for sentence, those in changed.items():
        files = _named([path.relative_to(source).as_posix() for path in those])
        on_note(f"{sentence} In {source}: {files}.")
    if broken:
        _tell_of_broken(broken, len(paths), source, skip_broken, on_note)
    labels = np.array([label for split in present for _, label in listed[split]], dtype=np.int64)
    of_split = np.repeat(np.arange(len(present)), [len(listed[split]) for split in present])
    intact = np.array([path not in broken for path in paths])
    _check_left(labels[intact & (of_split == 0)], classes, source)
    sets: list[ImageSet | PictureSet] = []
    rows = PictureFiles(tuple(paths))
    for number, split in enumerate(present):
        here = intact & (of_split == number)
        if not here.any():
            raise UserError(
                f"expected an image for {split} in {source} to be intact, but got none."
            )
        if images is None:
            ids = np.flatnonzero(here)
            sets.append(PictureSet(name, split, rows, labels[here], classes, ids))
        else:
            sets.append(ImageSet.counted(name, split, images[here], labels[here], classes))
    if len(sets) > 2:
        for other in sets[::2]:
            try:
                check_disjoint(sets[1], other)
            except UserError as error:
                if len(sets[1]) >= ENOUGH_TO_PROMISE:
                    raise
                on_note(f"warning: {error}")
    return tuple(sets)


def read_parquet(name: str, source: Path) -> tuple[PictureSet, ...]:
    """Open a folder of Parquet files, or its folder ``data``, as train and test, or all three.

    A file's name begins with its split: ``train-…``, ``validation-…`` or ``test-…``, see
    `named_splits`. Where there is one split only, a fifth of every class becomes test.

    Raises:
        UserError: files of another layout, or with other classes in each split.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(parquet_files(source)):
        files.setdefault(path.stem.partition("-")[0], []).append(path)
    splits = named_splits(files, str(source))
    if not splits and len(files) > 1:
        raise UserError(
            f"expected Parquet files of one split, or train-….parquet beside test-….parquet, in "
            f"{source}, but got {', '.join(sorted(files))}: rename them."
        )
    if not splits:
        whole = read_picture_set([path for some in files.values() for path in some], name, "train")
        test = _held_out(whole.labels)
        return whole.select(~test), replace(whole.select(test), split="test")
    given = {split: name for name, split in splits.items()}
    sets = [read_picture_set(files[given[one]], name, one) for one in FILES if one in given]
    for other in sets[1:]:
        if other.classes != sets[0].classes:
            raise UserError(
                f"expected the {other.split} pictures in {source} to have the classes of the "
                f"training pictures, but {len(other.classes)} and {len(sets[0].classes)} differ."
            )
    return tuple(sets)


def parquet_files(source: Path) -> list[Path]:
    """Return the Parquet files in a folder, or else in its folder ``data``."""
    return [*source.glob("*.parquet")] or [*(source / "data").glob("*.parquet")]


def _listed(
    source: Path, natural: bool, on_note: OnNote
) -> tuple[dict[File, Labelled], tuple[str, ...]]:
    names = [folder.name for folder in _folders(source)]
    if (source / "val" / ANNOTATIONS).is_file() and "train" in names:
        return _tiny_imagenet(source, on_note)
    with_classes = [name for name in names if name.lower() == "train" or _folders(source / name)]
    if splits := named_splits(with_classes, str(source)):
        found = {split: _pictures(source / name, on_note) for name, split in splits.items()}
        classes = _classes(found["train"], source / next(iter(splits)), natural)
        for name, split in splits.items():
            if strangers := [label for label in found[split] if label not in classes]:
                raise UserError(
                    f"expected the classes of {source / name} to be among those of the training "
                    f"images, but got {strangers[0]!r}; add training images of it, or remove it."
                )
        return {split: _labelled(found[split], classes) for split in found}, tuple(classes)
    if [name.lower() for name in names] == ["train"]:
        source = source / names[0]
    pictures = _pictures(source, on_note)
    classes = _classes(pictures, source, natural)
    return _split(_labelled(pictures, classes)), tuple(classes)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_litter(path.name))


def _pictures(folder: Path, on_note: OnNote) -> dict[str, list[Path]]:
    """Return the pictures of each class folder that has any."""
    found: dict[str, list[Path]] = {}
    others: list[str] = []
    empty: list[str] = []
    litter = 0
    for path in _folders(folder):
        files, hidden = files_below(path)
        pictures = []
        for file in files:
            if _seems_a_picture(file):
                pictures.append(file)
            else:
                others.append(file.relative_to(folder).as_posix())
        litter += hidden
        if pictures:
            found.setdefault(composed(path.name), []).extend(pictures)
        else:
            empty.append(path.name)
    if empty:
        on_note(f"No class, as there are no images in it: {_named(empty)} in {folder}.")
    if others:
        on_note(f"Left out of {folder}, as they are no images: {_named(others)}.")
    if litter:
        on_note(f"Left out of {folder}: {litter:,} files of the system's own.")
    return found


def _seems_a_picture(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as stream:
            return starts_like_picture(stream.read(START))
    except OSError:
        return False


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _classes(pictures: Collection[str], folder: Path, natural: bool = False) -> list[str]:
    classes = natural_order(pictures) if natural else sorted(pictures)
    if len(classes) < 2:
        raise UserError(
            f"expected at least 2 folders of images ({', '.join(FORMATS)}) in {folder}, one per"
            f" class, but got {len(classes)}; sort the images into `{folder.name}/<class>/`."
        )
    return classes


def _labelled(pictures: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> Labelled:
    return [(path, label) for label, name in enumerate(classes) for path in pictures.get(name, ())]


def _split(pictures: Labelled) -> dict[File, Labelled]:
    test = _held_out(np.array([label for _, label in pictures]))
    return {
        "train": [pair for pair, held_out in zip(pictures, test, strict=True) if not held_out],
        "test": [pair for pair, held_out in zip(pictures, test, strict=True) if held_out],
    }


def _held_out(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pictures, a fifth of every class, are for the test: (N,)."""
    random = np.random.RandomState(0)
    held_out = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        count = max(round(len(members) / 5), 1 if len(members) > 1 else 0)
        held_out[members[:count]] = True
    return held_out


def _tiny_imagenet(source: Path, on_note: OnNote) -> tuple[dict[File, Labelled], tuple[str, ...]]:
    pictures = _pictures(source / "train", on_note)
    wnids = _classes(pictures, source / "train")
    order = source / "wnids.txt"
    if order.is_file():
        listed = order.read_text(encoding="utf-8", errors="replace").split()
        if sorted(listed) != wnids:
            raise UserError(
                f"expected {order} to list the {len(wnids)} folders of {source / 'train'},"
                f" but it lists {len(listed)} others; unpack the archive again."
            )
        wnids = listed
    held_out: Labelled = []
    annotations = source / "val" / ANNOTATIONS
    for row in annotations.read_text(encoding="utf-8", errors="replace").splitlines():
        file, _, rest = row.partition("\t")
        wnid = rest.partition("\t")[0]
        if wnid not in wnids or Path(file).name != file:
            raise UserError(
                f"expected rows of a file name and a class in {annotations}, separated by tabs,"
                f" but got {row[:80]!r}; unpack the archive again."
            )
        held_out.append((source / "val" / "images" / file, wnids.index(wnid)))
    return {"train": _labelled(pictures, wnids), "test": held_out}, _titles(
        source / "words.txt", wnids
    )


def _titles(words: Path, wnids: Sequence[str]) -> tuple[str, ...]:
    if not words.is_file():
        return tuple(wnids)
    rows = (
        row.partition("\t")
        for row in words.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    known = {wnid: synonyms.partition(",")[0].strip() for wnid, _, synonyms in rows}
    titles = [known.get(wnid) or wnid for wnid in wnids]
    return tuple(
        title if titles.count(title) == 1 else f"{title} ({wnid})"
        for title, wnid in zip(titles, wnids, strict=True)
    )


def _common_side(paths: Sequence[Path], progress: bool) -> int | None:
    sizes: set[tuple[int, int]] = set()
    for path in tqdm(paths, desc="measuring", unit="image", disable=not progress):
        try:
            with Image.open(path, formats=FORMATS) as picture:
                sizes.add(picture.size)
        except Exception:  # `open_image` raises an error sentence for it later
            return None
        if len(sizes) > 1:
            return None
    width, height = sizes.pop()
    return width if width == height <= LARGEST_IN_FULL else None


def _read(
    paths: Sequence[Path], side: int | None, name: str, progress: bool
) -> tuple[NDArray[np.uint8] | None, dict[Path, str], dict[str, list[Path]]]:
    """Return the pictures, why some cannot be read, and which ones had to be changed, and how.

    Where a picture cannot be read, the pixels mean nothing. Without a ``side``, they are only
    looked at.
    """
    images = None if side is None else np.zeros((len(paths), side, side, 3), dtype=np.uint8)
    coloured = False
    broken: dict[Path, str] = {}
    changed: dict[str, list[Path]] = {}
    for index, path in enumerate(tqdm(paths, desc=name, unit="image", disable=not progress)):
        try:
            opened = open_image(path)
        except UserError as error:
            broken[path] = str(error)
            continue
        for note in opened.notes:
            changed.setdefault(note, []).append(path)
        coloured = coloured or opened.image.mode != "L"
        if images is not None and side is not None:
            images[index] = fit(opened.image, side, 3)
    return images if coloured or images is None else images[..., :1].copy(), broken, changed


def _tell_of_broken(
    broken: Mapping[Path, str], count: int, source: Path, skip: bool, on_note: OnNote
) -> None:
    """Tell which pictures cannot be read, and raise `UserError` unless they are to be skipped."""
    named = {path.relative_to(source).as_posix(): reason for path, reason in broken.items()}
    reasons = with_reasons(named)
    if skip:
        on_note(f"Left out of {source}, as they cannot be read: {reasons}.")
        return
    raise UserError(
        f"expected all {count:,} images in {source} to be intact, but {len(broken):,} are not: "
        f"{reasons}; replace or remove them, or go on without them by `--skip-broken`."
    )


def _check_left(labels: NDArray[np.int64], classes: Sequence[str], source: Path) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        raise UserError(
            f"expected a training image of every class in {source} that can be read, but there is "
            f"none of {classes[int(counts.argmin())]!r}; add some, or remove the folder."
        )
