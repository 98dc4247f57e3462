"""Data sets from folders of pictures, one folder per class."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from core.data.images import FORMATS, fit, open_image
from core.data.prepared import FILES, File, ImageSet, check_disjoint
from core.foundation.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
VALIDATION = ("val", "valid", "validation")
"""Usual names of the folder that is neither for training nor for the test."""
ANNOTATIONS = "val_annotations.txt"
DEFAULT_SIZE = 64

Labelled = list[tuple[Path, int]]


def named_splits(folders: Collection[str], where: str) -> dict[str, File]:
    """Return which split each folder holds, by the folders' names; {} where they name none.

    Beside ``train`` and ``test``, ``val`` (or valid, validation) is calibration. Without ``test``
    it is the test split.

    Raises `UserError` when several folders would be the same split.
    """
    held = [name for name in VALIDATION if name in folders]
    if "train" not in folders or not (held or "test" in folders):
        return {}
    if len(held) > 1:
        raise UserError(
            f"expected one of the folders {', '.join(VALIDATION)} in {where}, but got "
            f"{' and '.join(held)}: put their images together, or leave one out."
        )
    splits: dict[str, File] = {"train": "train"}
    if "test" in folders:
        splits["test"] = "test"
    for name in held:
        splits[name] = "calibration" if "test" in folders else "test"
    return splits


def read_folder(
    name: str, source: Path, size: int | None = None, progress: bool = True
) -> tuple[ImageSet, ...]:
    """Read a folder of pictures as train and test, or as train, calibration and test.

    Three layouts are understood; pictures may lie at any depth below their class's folder:

    - `<class>/…`: a fifth of every class, drawn with seed 0, becomes test.
    - `train/<class>/…` beside `test/` or `val/` in the same form; beside both, `val/` is the
      calibration split. See `named_splits`.
    - Tiny-ImageNet's own: `train/<wnid>/images/…`, and `val/images/…` with
      `val/val_annotations.txt`. Labels follow `wnids.txt`, names come from `words.txt`.

    Classes are the folders' names, sorted. Pictures become squares, see
    `core.data.images.fit`; they stay grey only when all of them are.

    Args:
        size: height and width in pixels; by default that of the pictures when all are equal
            squares, else 64.
        progress: whether to draw a bar on stderr.

    Raises `UserError` when there is no such folder, when it has fewer than two classes or a class
    without pictures, for the first picture that cannot be read, and for calibration images that are
    also training or test images.
    """
    if not source.is_dir():
        raise UserError(
            f"expected a folder of class folders at {source}, but there is no such folder."
        )
    if size is not None and size < 1:
        raise UserError(f"expected the size to be at least 1 pixel, but got {size}.")
    listed, classes = _listed(source)
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
    pictures = [pair for split in FILES for pair in listed.get(split, ())]
    paths = [path for path, _ in pictures]
    side = size or _common_side(paths, progress) or DEFAULT_SIZE
    images = _read(paths, side, name, progress)
    labels = np.array([label for _, label in pictures], dtype=np.int64)
    sets, first = [], 0
    for split in FILES:
        if split in listed:
            here = slice(first, first := first + len(listed[split]))
            sets.append(ImageSet.counted(name, split, images[here], labels[here], classes))
    if len(sets) > 2:
        for other in sets[::2]:
            check_disjoint(sets[1], other)
    return tuple(sets)


def _listed(source: Path) -> tuple[dict[File, Labelled], tuple[str, ...]]:
    names = [folder.name for folder in _folders(source)]
    if (source / "val" / ANNOTATIONS).is_file() and "train" in names:
        return _tiny_imagenet(source)
    with_classes = [name for name in names if name == "train" or _folders(source / name)]
    if splits := named_splits(with_classes, str(source)):
        classes = _classes(source / "train")
        listed = {
            split: _in_classes(source / name, classes, complete=split == "train")
            for name, split in splits.items()
        }
        return listed, tuple(classes)
    if names == ["train"]:
        source = source / "train"
    classes = _classes(source)
    return _split(_in_classes(source, classes)), tuple(classes)


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _classes(folder: Path) -> list[str]:
    classes = [path.name for path in _folders(folder)]
    if len(classes) < 2:
        raise UserError(
            f"expected at least 2 folders of images in {folder}, one per class,"
            f" but got {len(classes)}; sort the images into `{folder.name}/<class>/`."
        )
    return classes


def _in_classes(folder: Path, classes: Sequence[str], *, complete: bool = True) -> Labelled:
    labelled: Labelled = []
    for path in _folders(folder):
        if path.name not in classes:
            raise UserError(
                f"expected the classes of {folder} to be among those of the training images,"
                f" but got {path.name!r}; add training images of it, or remove it."
            )
        pictures = sorted(
            picture
            for picture in path.rglob("*")
            if picture.suffix.lower() in SUFFIXES and not picture.name.startswith(".")
        )
        if complete and not pictures:
            raise UserError(
                f"expected images ({', '.join(FORMATS)}) in {path}, but there are none;"
                " add some, or remove the folder."
            )
        labelled += [(picture, classes.index(path.name)) for picture in pictures]
    return labelled


def _split(pictures: Labelled) -> dict[File, Labelled]:
    random = np.random.RandomState(0)
    labels = np.array([label for _, label in pictures])
    held_out: set[int] = set()
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        count = max(round(len(members) / 5), 1 if len(members) > 1 else 0)
        held_out.update(members[:count].tolist())
    train = [pair for index, pair in enumerate(pictures) if index not in held_out]
    return {"train": train, "test": [pictures[index] for index in sorted(held_out)]}


def _tiny_imagenet(source: Path) -> tuple[dict[File, Labelled], tuple[str, ...]]:
    wnids = _classes(source / "train")
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
    train = _in_classes(source / "train", wnids)
    return {"train": train, "test": held_out}, _titles(source / "words.txt", wnids)


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
    return width if width == height else None


def _read(paths: Sequence[Path], side: int, name: str, progress: bool) -> NDArray[np.uint8]:
    images = np.empty((len(paths), side, side, 3), dtype=np.uint8)
    coloured = False
    for index, path in enumerate(tqdm(paths, desc=name, unit="image", disable=not progress)):
        picture = open_image(path).image
        coloured = coloured or picture.mode != "L"
        images[index] = fit(picture, side, 3)
    return images if coloured else images[..., :1].copy()
