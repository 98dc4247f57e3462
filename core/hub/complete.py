"""Tables of models that were saved before temperatures: completed by running the network again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.data.splits import load_split
from core.exits.table import ExitTable
from core.exits.table_file import save_tables
from core.foundation.errors import UserError
from core.hub.model import load
from core.hub.registry import TABLE, model_folder, tables_of

TOLERANCE = 0.01
"""Largest difference between a stored probability and that of the network as it runs here."""


def complete_tables(
    name_or_folder: str | Path,
    data: Path | None = None,
    on_table: Callable[[str], None] = lambda split: None,
) -> bool:
    """Store the logarithms of small probabilities with a model's tables; all else stays as it is.

    Args:
        name_or_folder: of the model; its data set has to be prepared.
        data: root of the prepared data sets.
        on_table: told the split whose images are run next.

    Returns:
        Whether anything was missing. Nothing is in the table of a plain network, nor in one that
        keeps only the top classes.

    Raises:
        UserError: no such model or data set, or a network that answers otherwise than the table.
    """
    tables = tables_of(name_or_folder)
    lacking = [
        split
        for split, table in tables.items()
        if table.num_exits > 1 and table.top_classes is None and table.log_probabilities is None
    ]
    if not lacking:
        return False
    model = load(name_or_folder)
    for split in lacking:
        on_table(split)
        images = load_split(model.card.dataset, split, data)  # type: ignore[arg-type]
        tables[split] = _completed(tables[split], model.table(images), model.name)
    save_tables(model_folder(name_or_folder) / TABLE, tables)
    return True


def _completed(stored: ExitTable, run: ExitTable, name: str) -> ExitTable:
    same = np.array_equal(stored.ids, run.ids) and np.array_equal(stored.labels, run.labels)
    if not same or np.abs(stored.probabilities - run.probabilities).max() > TOLERANCE:
        raise UserError(
            f"expected the network of {name} to give the answers of its stored table, but it gives "
            "others; save the model again with `model.save`."
        )
    return replace(stored, log_probabilities=run.logarithms())
