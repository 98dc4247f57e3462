"""Which models there are: their names, folders, cards and tables, without any network.

Nothing here needs torch, so listing models, tuning and routing tables start at once.
"""

import io
import os
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

from core.exits.table import ExitTable
from core.exits.table_file import load_tables
from core.foundation.errors import UserError, nearest
from core.foundation.places import PRETRAINED
from core.hub.card import Card, load_card

WEIGHTS, TABLE, CARD = "weights.safetensors", "table.npz", "card.json"
"""What a model's folder holds; the table only where one was made."""
RUNS = Path("runs")
"""Where trainings leave ``NAME/model``, in the working directory."""


def model_folders() -> dict[str, list[Path]]:
    """Return the folders of all models by name: a name may occur more than once.

    Models lie in ``pretrained/``, in ``runs/*/model`` of the working directory, called after their
    run, and in every folder that `$EENET_MODELS` names, separated as in `$PATH`.
    """
    cards = [(path.parent.name, path.parent) for path in PRETRAINED.glob(f"*/{CARD}")]
    cards += [(path.parents[1].name, path.parent) for path in RUNS.glob(f"*/model/{CARD}")]
    for further in filter(None, os.environ.get("EENET_MODELS", "").split(os.pathsep)):
        cards += [(path.parent.name, path.parent) for path in Path(further).glob(f"*/{CARD}")]
    found: dict[str, list[Path]] = {}
    for name, folder in sorted(cards, key=lambda pair: pair[0]):
        same = found.setdefault(name, [])
        if all(folder.resolve() != other.resolve() for other in same):
            same.append(folder)
    return found


def list_models() -> list[str]:
    """Return the names of all models; warns of a name that occurs more than once."""
    found = model_folders()
    for name, folders in found.items():
        if len(folders) > 1:
            warnings.warn(ambiguous(name, folders), stacklevel=2)
    return list(found)


def models_in(folder: Path) -> list[str]:
    """Return the names of the models in a folder of models."""
    return sorted(path.parent.name for path in folder.glob(f"*/{CARD}"))


def shipped_models() -> list[str]:
    """Return the names of the models that come with the project."""
    return models_in(PRETRAINED)


def model_folder(name_or_folder: str | Path) -> Path:
    """Find a model by its name, or its folder by path.

    Raises:
        UserError: there is none (suggests the nearest name), or several have the name.
    """
    folder = Path(name_or_folder)
    if (folder / CARD).is_file():
        return folder
    found = model_folders()
    folders = found.get(str(name_or_folder), [])
    if len(folders) > 1:
        raise UserError(ambiguous(str(name_or_folder), folders))
    if not folders:
        raise UserError(
            f"expected `model` to be a folder with a {CARD} or one of {', '.join(found)}, "
            f"but got {str(name_or_folder)!r}.{nearest(str(name_or_folder), found)}"
        )
    return folders[0]


def ambiguous(name: str, folders: Sequence[Path]) -> str:
    """Return a sentence on folders of models that have the same name."""
    return (
        f"expected one model called {name!r}, but {' and '.join(map(str, folders))} are called "
        "so: pass the folder of one of them, or rename one."
    )


def card_of(name_or_folder: str | Path) -> Card:
    """Return a model's card without touching its weights."""
    return load_card(model_folder(name_or_folder) / CARD)


def tables_of(name_or_folder: str | Path) -> dict[str, ExitTable]:
    """Return a model's stored tables by split; none where it was saved without any.

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


def as_zip(folder: Path) -> bytes:
    """Return a model's folder as a ZIP archive; unpacked among other models, it is one of them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (CARD, WEIGHTS, TABLE):
            if (folder / file).is_file():
                archive.write(folder / file, f"{folder.name}/{file}")
    return content.getvalue()
