"""The models in the box: their names, folders, cards and tables, without any network.

Nothing here needs torch, so listing models, tuning and routing tables start at once.
"""

import io
import zipfile
from pathlib import Path

from core.exits.table import ExitTable, load_tables
from core.foundation.errors import UserError, nearest
from core.foundation.places import PRETRAINED
from core.hub.card import Card, load_card

FILES = ("card.json", "weights.safetensors", "table.npz")
"""What a model's folder holds."""


def list_models(folder: Path = PRETRAINED) -> list[str]:
    """Return the names of the models in a folder of models."""
    return sorted(path.parent.name for path in folder.glob("*/card.json"))


def model_folder(name_or_folder: str | Path) -> Path:
    """Find a shipped model by name, or a model's folder by path.

    Raises:
        UserError: there is none; suggests the nearest name.
    """
    folder = Path(name_or_folder)
    if (folder / "card.json").is_file():
        return folder
    names = list_models()
    if str(name_or_folder) in names:
        return PRETRAINED / name_or_folder
    raise UserError(
        f"expected `model` to be a folder with a card.json or one of {', '.join(names)}, "
        f"but got {str(name_or_folder)!r}.{nearest(str(name_or_folder), names)}"
    )


def card_of(name_or_folder: str | Path) -> Card:
    """Return a model's card without touching its weights."""
    return load_card(model_folder(name_or_folder) / "card.json")


def shipped_table(name_or_folder: str | Path, split: str) -> ExitTable:
    """Return a model's stored table of a split, without loading its network.

    Raises:
        UserError: no such model or split, or a damaged file.
    """
    path = model_folder(name_or_folder) / "table.npz"
    tables = load_tables(path)
    if split not in tables:
        raise UserError(
            f"expected `split` to be one of {', '.join(tables)}, which {path} holds, "
            f"but got {split!r}.{nearest(split, tables)}"
        )
    return tables[split]


def as_zip(folder: Path) -> bytes:
    """Return a model's folder as a ZIP archive; unpacked among other models, it is one of them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in FILES:
            archive.write(folder / file, f"{folder.name}/{file}")
    return content.getvalue()
