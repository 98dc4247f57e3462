"""Samples to look at: what the exits said, with the pictures where they are at hand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app import resources
from app.own import OwnImages
from core.analysis.samples import belongs, place_of
from core.data.prepared import ImageSet
from core.data.sources import can_download
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.hub.card import Card

TEST, SAMPLES, OWN = "test", "samples", "own"


@dataclass(frozen=True, eq=False)
class Album:
    """Some samples of a model.

    Attributes:
        name: `TEST`, `SAMPLES` or `OWN`.
        title: of the whole, as on a button.
        each: what one of them is called.
        table: what the exits said about them.
        images: their pictures (…, H, W, C), or None where they are not at hand.
        names: of the files that a visitor brought, else None.
    """

    name: str
    title: str
    each: str
    table: ExitTable
    images: NDArray[np.uint8] | None
    names: tuple[str, ...] | None = None

    @property
    def labelled(self) -> bool:
        """Whether it is known of any sample what it is."""
        return bool(self.table.labelled.any())

    def picture(self, position: int) -> NDArray[np.uint8] | None:
        """Return the picture (H, W, C) of a sample by its position in the table, if at hand."""
        if self.images is None:
            return None
        one: NDArray[np.uint8]
        one = self.images[self.table.ids[position] if self.name == TEST else position]
        return one

    def called(self, position: int) -> str:
        """Return what a sample is called: test images by their id, samples counted from 1."""
        if self.names is not None:
            return self.names[position]
        number = int(self.table.ids[position]) if self.name == TEST else position + 1
        return f"{self.each} {number:,}"

    def sample_number(self, position: int, card: Card) -> int | None:
        """Return which of the shipped samples it is, or None for any other picture."""
        if self.name == SAMPLES:
            return position
        if self.name == OWN:
            return None
        samples, pixels = resources.samples(card.dataset), self.picture(position)
        return None if samples is None or pixels is None else place_of(pixels, samples)


def albums(name: str, card: Card) -> tuple[dict[str, Album], str]:
    """Return what can be looked at, the best to begin with first, and a word on what is missing.

    Without pictures the test split is still there: where everybody leaves is in the table.
    """
    test, missing = test_album(name, card)
    samples = _samples(name, card)
    found = [test] if samples is None else [test, samples]
    if test.images is None:
        found.reverse()
    return {album.name: album for album in found}, missing


def test_album(name: str, card: Card) -> tuple[Album, str]:
    """Return the test split, and a word on what is missing where there are no pictures."""
    table = resources.tables(name)["test"]
    command = f"`python -m core data prepare {card.dataset}`"
    if not can_download(card.dataset):
        command = (
            f"With a folder of its files, `python -m core data prepare {card.dataset} --from DIR`"
        )
    images, missing = None, ""
    try:
        images = resources.test_images(card.dataset)
    except UserError as error:
        missing = f"The test images cannot be shown: {error}"
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
    return Album(TEST, "Test split", "Test image", table, pixels), missing


def _fit(images: ImageSet, table: ExitTable, card: Card) -> bool:
    spec = card.spec
    shape = (spec.image_size, spec.image_size, spec.in_channels)
    return images.images.shape[1:] == shape and belongs(table, images, by_ids=True)


def _samples(name: str, card: Card) -> Album | None:
    images = resources.samples(card.dataset)
    if images is None:
        return None
    table = resources.tables(name).get("calibration")
    if table is None or not belongs(table, images, by_ids=False):
        table = resources.asked_samples(name)
    if table is None:
        return None
    return Album(SAMPLES, "Shipped samples", "Sample", table, images.images)


def own_album(name: str, own: OwnImages) -> Album | None:
    """Return a visitor's own images, once the model has been asked about them."""
    scored = own.scored_by(name)
    if scored is None:
        return None
    pictures = scored.pictures
    return Album(OWN, "Your own images", "Image", scored.table, pictures.pixels, pictures.names)
