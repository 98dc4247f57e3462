"""Registry of models on this machine: names, folders, cards and tables.

Needs no torch, so that commands that only list models or tune on tables start at once.
"""

import io
import os
import warnings
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.exits.table import ExitTable
from core.exits.table_file import load_tables
from core.foundation.errors import UserError, nearest
from core.foundation.places import PRETRAINED
from core.hub.card import Card, load_card
from core.tuning.front import Front
from core.tuning.front_file import stored_or_searched
from core.tuning.promise import has_same_images

WEIGHTS, TABLE, CARD = "weights.safetensors", "table.npz", "card.json"
"""Files in a model's folder; the table is optional."""
FRONTS = "fronts.npz"
"""Accuracy–cost fronts of the table, in the same folder; optional, too."""
DRIFT = "drift.npz"
"""Tables of corrupted test images, in the same folder; optional, too."""
LIKENESS = "likeness.npz"
"""Features of training images, in the same folder; optional, too."""
RUNS = Path("runs")
"""Folder for trainings in the working directory; their models are ``NAME/model``."""


def model_folders() -> dict[str, list[Path]]:
    """Return the folders of all models by name; several folders may have one name.

    Models lie in ``pretrained/``, in ``runs/*/model`` of the working directory, named after their
    run, and in every folder that `$EENET_MODELS` names, separated as in `$PATH`. In the latter,
    links that lead out of the folder are not followed.
    """
    cards = [(path.parent.name, path.parent) for path in PRETRAINED.glob(f"*/{CARD}")]
    cards += [(path.parents[1].name, path.parent) for path in RUNS.glob(f"*/model/{CARD}")]
    for further in filter(None, os.environ.get("EENET_MODELS", "").split(os.pathsep)):
        root = Path(further).resolve()
        cards += [
            (path.parent.name, path.parent)
            for path in Path(further).glob(f"*/{CARD}")
            if all(file.resolve().is_relative_to(root) for file in path.parent.iterdir())
        ]
    folders: dict[str, list[Path]] = {}
    for name, folder in sorted(cards, key=lambda pair: pair[0]):
        same_name = folders.setdefault(name, [])
        if all(folder.resolve() != other.resolve() for other in same_name):
            same_name.append(folder)
    return folders


def list_models() -> list[str]:
    """Return the names of all models; warn of a name that several models have."""
    models = model_folders()
    for name, folders in models.items():
        if len(folders) > 1:
            warnings.warn(ambiguous(name, folders), stacklevel=2)
    return list(models)


@dataclass(frozen=True)
class FoundModel:
    """A model as its files are now.

    Attributes:
        folder: with its files.
        version: differs from that of every other model, and of this one with other files.
        readable: its card, unless something is wrong.
        mistake: a sentence on what is wrong.
    """

    folder: Path
    version: str
    readable: Card | None
    mistake: str = ""

    @property
    def card(self) -> Card:
        """Its card.

        Raises:
            UserError: the card is damaged, or several models have the name.
        """
        if self.readable is None:
            raise UserError(self.mistake)
        return self.readable


def find_model(folder: Path, known: FoundModel | None = None) -> FoundModel:
    """Return the model in a folder; ``known`` itself, unless its files have changed."""
    version = _version(folder)
    if known is not None and known.version == version:
        return known
    try:
        return FoundModel(folder, version, load_card(folder / CARD))
    except UserError as error:
        return FoundModel(folder, version, None, str(error))


def _version(folder: Path) -> str:
    """Return a folder with the times and sizes of its files: weights belong to their card."""
    marks = [str(folder)]
    for file in (CARD, TABLE):
        with suppress(OSError):
            facts = (folder / file).stat()
            marks.append(f"{file} {facts.st_mtime_ns} {facts.st_size}")
    return " ".join(marks)


class Catalogue:
    """The models on this machine as they were at the last look, for many readers at once."""

    def __init__(self) -> None:
        self.models: dict[str, FoundModel] = {}
        """By name."""

    def refresh(self) -> None:
        """Look again: read the cards of models that came or changed."""
        self.models = {
            name: find_model(folders[0], self.models.get(name))
            if len(folders) == 1
            else FoundModel(
                folders[0], " ".join(map(_version, folders)), None, ambiguous(name, folders)
            )
            for name, folders in model_folders().items()
        }

    def model(self, name: str) -> FoundModel:
        """Return a model by its name; looks again for one that was not there.

        Raises:
            UserError: there is none of this name.
        """
        if name not in self.models:
            self.refresh()
        return self.models.get(name) or find_model(model_folder(name))


def models_in(folder: Path) -> list[str]:
    """Return the names of the models in a folder of models."""
    return sorted(path.parent.name for path in folder.glob(f"*/{CARD}"))


def shipped_models() -> list[str]:
    """Return the names of the models that come with the project."""
    return models_in(PRETRAINED)


def model_folder(name_or_folder: str | Path) -> Path:
    """Return the folder of a model, given its name or the folder itself.

    Raises:
        UserError: no model (suggests the nearest name), or several of this name.
    """
    folder = Path(name_or_folder)
    if (folder / CARD).is_file():
        return folder
    models = model_folders()
    folders = models.get(str(name_or_folder), [])
    if len(folders) > 1:
        raise UserError(ambiguous(str(name_or_folder), folders))
    if not folders:
        raise UserError(
            f"expected `model` to be a folder with a {CARD} or one of {', '.join(models)}, "
            f"but got {str(name_or_folder)!r}.{nearest(str(name_or_folder), models)}"
        )
    return folders[0]


def ambiguous(name: str, folders: Sequence[Path]) -> str:
    """Return a sentence on several models of the same name."""
    return (
        f"expected one model called {name!r}, but {' and '.join(map(str, folders))} have this "
        "name: pass the folder of one of them, or rename one."
    )


def card_of(name_or_folder: str | Path) -> Card:
    """Return a model's card without loading its weights."""
    return load_card(model_folder(name_or_folder) / CARD)


def tables_of(name_or_folder: str | Path) -> dict[str, ExitTable]:
    """Return a model's stored tables by split; empty where it was saved without any.

    Raises:
        UserError: no such model, or a damaged file.
    """
    path = model_folder(name_or_folder) / TABLE
    return load_tables(path) if path.is_file() else {}


def shipped_table(name_or_folder: str | Path, split: str) -> ExitTable:
    """Return a model's stored table of a split, without loading its network.

    Raises:
        UserError: no such model or split, or a damaged file.
    """
    tables = tables_of(name_or_folder)
    if split not in tables:
        raise UserError(
            f"expected {name_or_folder} to have a table of the {split} split, but it has "
            f"{' and '.join(tables) or 'none'}: save the model with `{split}=`, a table or "
            f"labelled images.{nearest(split, tables)}"
        )
    return tables[split]


def front_of(name_or_folder: str | Path, calibration: ExitTable, criterion: str) -> Front:
    """Return the accuracy–cost front of a model's criterion, searched unless it is stored.

    Args:
        name_or_folder: of the model.
        calibration: its table of that split.
        criterion: a name in `core.exits.criteria.CRITERIA`.
    """
    path = model_folder(name_or_folder) / FRONTS
    return stored_or_searched(path, calibration, criterion)


def plain_table(card: Card, split: str, table: ExitTable) -> ExitTable | None:
    """Return the plain network's table of the same images; None where there is none.

    Args:
        card: of a model with early exits.
        split: of ``table``.
        table: the model's, of the images that are wanted.
    """
    if card.plain is None:
        return None
    try:
        plain = tables_of(card.plain.name).get(split)
    except UserError:  # not on this machine
        return None
    return plain if plain is not None and has_same_images(plain, table) else None


def as_zip(folder: Path) -> bytes:
    """Return a ZIP archive of a model's folder, to be unpacked in a folder of models."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (CARD, WEIGHTS, TABLE, FRONTS, DRIFT, LIKENESS):
            if (folder / file).is_file():
                archive.write(folder / file, f"{folder.name}/{file}")
    return content.getvalue()
