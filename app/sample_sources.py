"""Samples to look at, from the test split to a visitor's own images: what every exit answered, and
the pictures where they are at hand."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app import resources, text
from app.session import kept, own_models, own_pictures
from core.analysis.samples import belongs
from core.data.prepared import ImageSet
from core.data.sources import can_download
from core.data.uploads import Collection, OwnFile, shown
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.foundation.public import is_public
from core.hub.card import Card

if TYPE_CHECKING:
    from core.foundation.jobs import Job
    from core.hub.own_splits import OwnSplits
    from core.hub.scoring import Scored

TEST, CALIBRATION, SAMPLES, OWN = "test", "calibration", "samples", "own"
_MOST_SCORED = 4  # models whose answers to a visitor's images are kept


@dataclass(frozen=True, eq=False)
class SampleSource:
    """Some samples of a model.

    Attributes:
        name: `TEST`, `CALIBRATION`, `SAMPLES` or `OWN`.
        title: of the whole, as on a button.
        each: what a single sample is called.
        table: what the exits answered.
        images: their pictures (…, H, W, C), or None where they are not at hand.
        names: of the files that a visitor brought, else None.
        files: those, as they came.
    """

    name: str
    title: str
    each: str
    table: ExitTable
    images: NDArray[np.uint8] | None
    names: tuple[str, ...] | None = None
    files: tuple[OwnFile, ...] | None = None

    @property
    def labelled(self) -> bool:
        """Whether it is known of any sample what it is."""
        return bool(self.table.labelled.any())

    def picture(self, position: int) -> NDArray[np.uint8] | None:
        """Return the picture (H, W, C) of a sample by its position in the table, if at hand."""
        if self.images is None:
            return None
        pixels: NDArray[np.uint8]
        pixels = self.images[self.table.ids[position] if self.name == TEST else position]
        return pixels

    def called(self, position: int) -> str:
        """Return what a sample is called: by its `number`, or the name of its file."""
        if self.names is not None:
            return self.names[position]
        return f"{self.each} {self.number(position):,}"

    def number(self, position: int) -> int:
        """Return a sample's number in titles and links: a test image's id, others from 1."""
        return int(self.table.ids[position]) if self.name == TEST else position + 1

    def position_of(self, number: int) -> int | None:
        """Return the position in the table of a sample by its number; None without such a one."""
        numbers = self.table.ids if self.name == TEST else np.arange(1, len(self.table) + 1)
        found = np.flatnonzero(numbers == number)
        return int(found[0]) if len(found) else None


def sample_sources(name: str, card: Card) -> tuple[dict[str, SampleSource], str]:
    """Return what a model can be looked at on, the best to begin with first.

    Without pictures the test split is still there: where each sample leaves is in the table.

    Returns:
        The sources by name, and a sentence on what is missing, or "".
    """
    test, missing = split_source(name, card)
    samples = _shipped_samples(name, card)
    found = [test] if samples is None else [test, samples]
    if test.images is None:
        found.reverse()
    return {source.name: source for source in found}, missing


def split_source(name: str, card: Card) -> tuple[SampleSource, str]:
    """Return the split that a model's figures are of, and a sentence on pictures that are missing.

    Raises:
        UserError: the model was saved without any table.
    """
    table = resources.shown_table(name)
    if resources.shown_split(name) == CALIBRATION:
        missing = (
            "The calibration images themselves were not saved with this model, so they are shown "
            "without pictures."
        )
        title, each = "Calibration split", "Calibration image"
        return SampleSource(CALIBRATION, title, each, table, None), missing
    command = f"`python -m core data prepare {card.dataset}`"
    if not can_download(card.dataset):
        command = (
            f"With a folder of its files, `python -m core data prepare {card.dataset} --from DIR`"
        )
    images, missing = None, ""
    try:
        images = own_pictures(name) or resources.test_images(card)
    except UserError as error:
        missing = text.told(f"The test images cannot be shown: {error}")
    else:
        if images is None:
            missing = (
                "The test images themselves are not on this machine, so the test split is shown "
                f"without pictures. {command} prepares them."
            )
        elif not _fit(images, table, card):
            images = None
            missing = (
                f"The images prepared as {card.dataset} are not those that this network was "
                f"tested on, so the test split is shown without pictures. {command} makes them "
                "anew."
            )
    pixels = None if images is None else images.images
    return SampleSource(TEST, "Test split", "Test image", table, pixels), missing


def _fit(images: ImageSet, table: ExitTable, card: Card) -> bool:
    spec = card.spec
    shape = (spec.image_size, spec.image_size, spec.in_channels)
    return images.images.shape[1:] == shape and belongs(table, images, by_ids=True)


def _shipped_samples(name: str, card: Card) -> SampleSource | None:
    images = resources.samples(card)
    if images is None:
        return None
    table = resources.tables(name).get("calibration")
    if table is None or not belongs(table, images, by_ids=False):
        table = resources.sample_table(name)
    return SampleSource(SAMPLES, "Shipped samples", "Sample", table, images.images)


class OwnImages:
    """A session's own images, in memory: what was brought, and what the networks answered."""

    def __init__(self) -> None:
        self.collection: Collection | None = None
        self.mistake = ""
        self.job: Job[Scored] | None = None
        self.model = ""  # that scores them now
        self.splitting: Job[OwnSplits] | None = None
        self.split = ""  # the model that came of it, or is to
        self.notes: tuple[str, ...] = ()
        self.round = 0  # a new one empties the uploaders
        self._scored: dict[str, Scored] = {}

    def bring(self, reading: Callable[[], Collection], model: str) -> None:
        """Take other images instead and score them by a model; a mistake is kept to be shown."""
        self.forget()
        try:
            self.collection = reading()
        except UserError as error:
            self.mistake = str(error)
        else:
            self.score(model)

    def score(self, model: str) -> None:
        """Begin to score them by a model."""
        assert self.collection is not None
        self.mistake, self.model = "", model
        self.job = resources.scoring(model, self.collection)

    def divide(self, model: str, share: float, seed: int) -> None:
        """Begin to make a model whose thresholds are chosen and tested on them.

        Args:
            model: that has scored them.
            share: of the labelled images that choose.
            seed: of the draw.
        """
        scored = self.scored_by(model)
        assert scored is not None
        own = own_models()
        self.mistake, self.notes, self.split = "", (), own.next_name("tuned-here")
        folder = own.folder / self.split
        self.splitting = resources.splitting(model, scored, folder, share, seed)

    def settle(self) -> None:
        """Take note of a job that is done."""
        if self.splitting is not None and not self.splitting.running:
            made = self.splitting.result
            if made is not None:
                own_models().pictures[self.split] = made.pictures
                self.notes = made.notes
            self.mistake, self.splitting = self.splitting.mistake, None
        if self.job is None or self.job.running:
            return
        if self.job.result is not None:
            self._scored[resources.version_of(self.model)] = self.job.result
            for old in list(self._scored)[:-_MOST_SCORED]:
                del self._scored[old]
        self.mistake = self.job.mistake
        self.job = None

    def scored_by(self, model: str) -> "Scored | None":
        """Return what a model answered, or None where it has not scored them yet."""
        return self._scored.get(resources.version_of(model))

    def forget(self) -> None:
        """Let go of everything."""
        for job in (self.job, self.splitting):
            if job is not None:
                job.stop()
        self.collection, self.job, self.mistake, self._scored = None, None, "", {}
        self.splitting, self.split = None, ""
        self.round += 1

    def source(self, model: str) -> SampleSource | None:
        """Return them as samples of a model, once it has scored them."""
        scored = self.scored_by(model)
        if scored is None:
            return None
        assert self.collection is not None
        pixels, names = scored.pictures.pixels, scored.pictures.names
        came = {shown(file.name): file for file in self.collection.files}
        files = tuple(came[name] for name in names)
        return SampleSource(OWN, "Your own images", "Image", scored.table, pixels, names, files)


def own_images() -> OwnImages:
    """Return the session's own images; there may be none yet."""
    return kept("own-collection", OwnImages)


def readable_folder() -> Path | None:
    """Return the folder of this machine in which visitors may read: `$EENET_FOLDERS`, else none.

    Where strangers visit there is none, and they see nothing of its disk.
    """
    chosen = None if is_public() else os.environ.get("EENET_FOLDERS")
    return Path(chosen).expanduser() if chosen else None
