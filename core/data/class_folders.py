"""Uploaded pictures in folders of their classes, read one by one and never all in memory."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch.utils.data import Dataset

from core.data.images import open_image
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
    """

    called: str
    classes: tuple[str, ...]
    files: tuple[OwnFile, ...]
    labels: NDArray[np.int64]

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
        return replace(self, files=files, labels=self.labels[chosen])

    def split(self, seed: int = 0) -> tuple["ClassFolders", "ClassFolders", "ClassFolders"]:
        """Return training, calibration and test pictures, of every class in the same proportion."""
        parts: list[list[int]] = [[], [], []]
        random = np.random.default_rng(seed)
        for label in range(len(self.classes)):
            places = random.permutation(np.flatnonzero(self.labels == label))
            held_out = max(round(HELD_OUT * len(places)), 1)
            cuts = np.split(places, [len(places) - 2 * held_out, len(places) - held_out])
            for part, cut in zip(parts, cuts, strict=True):
                part += cut.tolist()
        training, calibration, test = (self.select(sorted(part)) for part in parts)
        return training, calibration, test


def class_folders(collection: Collection) -> ClassFolders:
    """Return the pictures of a collection that lie in folders, labelled by them.

    Raises:
        UserError: no folders, fewer than two, too many, or too few pictures in one.
    """
    folders = [(file, file.name.split("/")[-2]) for file in collection.files if "/" in file.name]
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
    pictures = ClassFolders(
        collection.called,
        tuple(map(shown, classes)),
        tuple(file for file, _ in folders),
        np.array([labels[folder] for _, folder in folders], np.int64),
    )
    check_counts(pictures)
    return pictures


def check_counts(pictures: ClassFolders) -> None:
    """Raise `UserError` unless there are enough pictures of every class."""
    counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
    few = int(counts.argmin())
    if counts[few] < LEAST:
        raise UserError(
            f"expected at least {LEAST} pictures of every class in {pictures.called}, but of "
            f"{pictures.classes[few]!r} there are {counts[few]}: add some, or leave the class out."
        )


def readable(
    pictures: ClassFolders, on_progress: OnProgress
) -> tuple[ClassFolders, tuple[Skipped, ...]]:
    """Return the pictures that can be opened, and the others with the reason.

    Args:
        pictures: each is opened once.
        on_progress: called for each picture; an exception from it ends the work.

    Raises:
        UserError: too few of a class can be opened.
    """
    good, skipped = [], []
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
