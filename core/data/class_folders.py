"""Uploaded pictures in folders of their classes, read one by one and never all in memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch.utils.data import Dataset

from core.data.folders import named_splits
from core.data.images import open_image
from core.data.prepared import FILES, File
from core.data.uploads import Collection, OwnFile, Skipped, shown
from core.foundation.errors import UserError
from core.foundation.jobs import OnProgress

LEAST = 5
"""Pictures of a class: fewer cannot be divided into training, calibration and test."""
MOST_CLASSES = 1000
HELD_OUT = 0.2
"""Share of the pictures that calibration and test get, each."""


@dataclass(frozen=True, eq=False)
class ClassFolders(Dataset[tuple[Image.Image, int]]):
    """Files of pictures and the class of each: the folder that it lies in.

    Attributes:
        called: what they are together, for messages.
        classes: K names, sorted as torchvision's ImageFolder sorts them.
        files: N.
        labels: (N,) in [0, K).
        splits: N names of the split that each was brought for; None where none was named.
        skipped: files that were left out.
    """

    called: str
    classes: tuple[str, ...]
    files: tuple[OwnFile, ...]
    labels: NDArray[np.int64]
    splits: tuple[File, ...] | None = None
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """Return a picture and its label.

        Raises:
            UserError: the picture is damaged.
        """
        return self.picture(index), int(self.labels[index])

    def picture(self, index: int) -> Image.Image:
        """Return a picture; raises as ``[index]`` does."""
        file = self.files[index]
        return open_image(file.read(), shown(file.name)).image

    def select(self, index: ArrayLike) -> "ClassFolders":
        """Return the pictures at ``index``, whole numbers in any order."""
        chosen = np.asarray(index, np.int64)
        files = tuple(self.files[place] for place in chosen)
        splits = None if self.splits is None else tuple(self.splits[place] for place in chosen)
        return replace(self, files=files, labels=self.labels[chosen], splits=splits)

    def in_order(self, classes: Sequence[str]) -> "ClassFolders":
        """Return the same pictures with the same classes in another order."""
        places = np.array([classes.index(name) for name in self.classes])
        return replace(self, classes=tuple(classes), labels=places[self.labels])

    @property
    def named(self) -> tuple[File, ...]:
        """The splits that folders of these pictures are named after."""
        return tuple(split for split in FILES if split in (self.splits or ()))

    def split(self, seed: int = 0) -> tuple["ClassFolders", "ClassFolders", "ClassFolders"]:
        """Return training, calibration and test pictures.

        What was brought for calibration and test is just that. Where there is nothing for one of
        them, it is held out from the training pictures, of every class in the same proportion.
        """
        parts: dict[File, list[int]] = {split: [] for split in FILES}
        for place, split in enumerate(self.splits or ()):
            parts[split].append(place)
        missing = [split for split in FILES[1:] if not parts[split]]
        whole = parts["train"] if self.splits is not None else range(len(self))
        parts["train"] = []
        random = np.random.default_rng(seed)
        labels = self.labels[list(whole)]
        for label in range(len(self.classes)):
            places = random.permutation(np.asarray(whole)[labels == label])
            held_out = max(round(HELD_OUT * len(places)), 1)
            ends = [len(places) - left * held_out for left in range(len(missing), 0, -1)]
            cuts = np.split(places, ends)
            for part, cut in zip(("train", *missing), cuts, strict=True):
                parts[part] += cut.tolist()
        training, calibration, test = (self.select(sorted(parts[split])) for split in FILES)
        return training, calibration, test


def class_folders(collection: Collection) -> ClassFolders:
    """Return the pictures of a collection that lie in folders, labelled by them.

    Folders of classes may lie in ``train``, ``val`` and ``test``, see `named_splits`.

    Raises:
        UserError: no folders, fewer than two, too many, or too few pictures in one.
    """
    folders = [(file, file.name.split("/")[-2]) for file in collection.files if "/" in file.name]
    alone = [file.name for file in collection.files if "/" not in file.name]
    counts = Counter(folder for _, folder in folders)
    if len(counts) < 2:
        got = f"the only folder is {shown(next(iter(counts)))!r}" if counts else "there are none"
        raise UserError(
            f"expected folders of at least two classes in {collection.called}, such as cat/1.png "
            f"and dog/2.png, but {got}: put the pictures of each class into a folder of its name."
        )
    if len(counts) > MOST_CLASSES:
        raise UserError(
            f"expected at most {MOST_CLASSES:,} class folders in {collection.called}, but there "
            f"are {len(counts):,}: put pictures of one class into one folder."
        )
    classes = tuple(sorted(counts))
    labels = {name: label for label, name in enumerate(classes)}
    files = tuple(file for file, _ in folders)
    pictures = ClassFolders(
        collection.called,
        tuple(map(shown, classes)),
        files,
        np.array([labels[folder] for _, folder in folders], np.int64),
        _splits(files, collection.called),
        (*collection.skipped, *(Skipped(shown(name), "in no folder of a class") for name in alone)),
    )
    check_counts(pictures)
    return pictures


def _splits(files: Sequence[OwnFile], called: str) -> tuple[File, ...] | None:
    """Return the split that each file is for, by the folder that its class's folder lies in."""
    above = [("", *file.name.split("/"))[-3] for file in files]
    splits = named_splits(set(above), called)
    strangers = sorted(set(above) - splits.keys())
    if splits and strangers:
        raise UserError(
            f"expected every class folder of {called} to lie in {' or '.join(splits)}, as some do, "
            f"but got {(strangers[0] or files[above.index('')].name)!r}: move it, or leave it out."
        )
    return tuple(splits[name] for name in above) if splits else None


def check_counts(pictures: ClassFolders) -> None:
    """Raise `UserError` unless there are enough pictures of every class to learn from."""
    training = pictures.labels
    if pictures.splits is not None:
        training = training[np.array(pictures.splits) == "train"]
    counts = np.bincount(training, minlength=len(pictures.classes))
    few = int(counts.argmin())
    if counts[few] < LEAST:
        where = "for training in " if pictures.splits is not None else "in "
        raise UserError(
            f"expected at least {LEAST} pictures of every class {where}{pictures.called}, but of "
            f"{pictures.classes[few]!r} there are {counts[few]}: add some, or leave the class out."
        )


def readable(
    pictures: ClassFolders, on_progress: OnProgress
) -> tuple[ClassFolders, tuple[Skipped, ...]]:
    """Return the pictures that can be opened, and all files that are left out, with the reason.

    Args:
        pictures: each is opened once.
        on_progress: called for each picture; an exception from it ends the work.

    Raises:
        UserError: too few of a class can be opened.
    """
    good: list[int] = []
    skipped = list(pictures.skipped)
    for index, file in enumerate(pictures.files):
        on_progress(index / len(pictures), f"Reading picture {index + 1:,} of {len(pictures):,} …")
        try:
            pictures.picture(index)
        except (UserError, OSError) as error:
            skipped.append(Skipped(shown(file.name), str(error)))
        else:
            good.append(index)
    opened = pictures.select(good)
    check_counts(opened)
    return opened, tuple(skipped)
