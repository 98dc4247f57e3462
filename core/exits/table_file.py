"""Exit tables on disk: a ``.npz`` per model, with a table per split, never unpickled."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.exits.table import ExitTable, FloatArray
from core.foundation.costs import Costs
from core.foundation.errors import UserError
from core.foundation.files import atomic_path

FIXED_POINT = 65535  # probabilities on disk are uint16 multiples of 1/65535
LOG_STEPS = 32  # logarithms of smaller multiples than this are kept, too, in steps of 1/32
MOST_CLASSES_IN_FULL = 20  # with more classes only the likeliest are kept on disk


def as_stored(table: ExitTable) -> ExitTable:
    """Return a table as `load_tables` would give it: 16-bit values, of many classes the top 8."""
    if table.num_classes > MOST_CLASSES_IN_FULL:
        table = table.truncated()
    confidence, tails = table.confidence, _tails(table)
    fixed = quantised_probabilities(table)
    return replace(
        table,
        probabilities=restored(fixed),
        confidence=None if confidence is None else restored(quantised(confidence)),
        entropy=restored(quantised(table.full_entropy())),
        log_probabilities=None if tails is None else _logarithms(fixed, tails),
        rounded=True,
    )


def save_tables(path: Path | str, tables: Mapping[str, ExitTable]) -> None:
    """Write tables by split name ("calibration", "test") into one ``.npz``, atomically.

    Probabilities, confidence and entropy become 16-bit fixed point (error <= 1/65535, finer near
    1 than float16). Above 20 classes the top 8 are kept. Answers survive exactly. Where there are
    early exits, the logarithms of probabilities below 32/65535 are kept beside, to 1/64, so that
    temperatures find every probability to 1.6 %.

    Raises:
        UserError: a table is incomplete: its costs do not add up to 1.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for split, table in tables.items():
        _check_complete(table)
        table = as_stored(table)
        fields: dict[str, NDArray[Any] | None] = {
            "probabilities": quantised_probabilities(table),
            "tails": _in_planes(_tails(table)),
            "confidence": None if table.confidence is None else quantised(table.confidence),
            "entropy": quantised(table.full_entropy()),
            "top_classes": table.top_classes,
            "labels": table.labels,
            "ids": table.ids,
            "stage_costs": table.costs.stages,
            "head_costs": table.costs.heads,
            "classes": np.array(table.classes, dtype=np.str_),
        }
        arrays |= {f"{split}/{name}": a for name, a in fields.items() if a is not None}
    with atomic_path(Path(path)) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def load_tables(path: Path | str) -> dict[str, ExitTable]:
    """Read the tables that `save_tables` wrote, by split name. Never unpickles.

    Raises:
        UserError: the file is missing, damaged or foreign; names the file and the field.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"expected an exit table at {path}, but there is no such file.")
    fields: dict[str, dict[str, NDArray[Any]]] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for key in archive.files:
                split, _, name = key.partition("/")
                if name in _FIELDS:
                    fields.setdefault(split, {})[name] = _read(archive, key, _FIELDS[name], path)
    except UserError:
        raise
    except Exception as error:  # numpy, zip and zlib raise many types for a damaged archive
        raise UserError(
            f"expected an exit table in {path}, but it is damaged or of another kind ({error}); "
            "make it anew or download it again."
        ) from None
    if not fields:
        raise UserError(f"expected an exit table in {path}, but it holds none of its fields.")
    return {split: _table(path, split, arrays) for split, arrays in fields.items()}


_FIELDS = {
    "probabilities": "uint16",
    "tails": "uint8",
    "confidence": "uint16",
    "entropy": "uint16",
    "top_classes": "i",
    "labels": "i",
    "ids": "i",
    "stage_costs": "f",
    "head_costs": "f",
    "classes": "U",
}
_OPTIONAL = {"tails", "confidence", "top_classes"}
_WHAT = {"i": "whole numbers", "f": "numbers", "U": "text"}


def _read(archive: Any, key: str, kind: str, path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = archive[key]
    except Exception as error:  # numpy, zip and zlib raise many types for damaged bytes
        raise UserError(
            f"expected field '{key}' of {path} to be readable, but it is damaged ({error}); "
            "make the file anew or download it again."
        ) from None
    if array.dtype.name != kind and array.dtype.kind != kind:
        raise UserError(
            f"expected field '{key}' of {path} to hold {_WHAT.get(kind, kind)}, but got "
            f"{array.dtype}; "
            "was the file written by something else?"
        )
    return array


def _table(path: Path, split: str, arrays: dict[str, NDArray[Any]]) -> ExitTable:
    for name in _FIELDS:
        if name not in arrays and name not in _OPTIONAL:
            raise UserError(
                f"expected field '{split}/{name}' in {path}, but it is missing; "
                "was the file written by something else?"
            )
    values: dict[str, Any] = {
        name: restored(array) if _FIELDS[name] == "uint16" else array
        for name, array in arrays.items()
    }
    try:
        if "tails" in values:
            fixed, planes = arrays["probabilities"], values.pop("tails")
            if planes.shape != (2, *fixed.shape):
                raise UserError(
                    f"expected `tails` of shape {(2, *fixed.shape)}, but got {planes.shape}."
                )
            values["log_probabilities"] = _logarithms(fixed, _from_planes(planes))
        if values["classes"].ndim != 1:
            raise UserError(f"expected `classes` of shape (K,), but got {values['classes'].shape}.")
        values["classes"] = tuple(values["classes"].tolist())
        values["costs"] = Costs(values.pop("stage_costs"), values.pop("head_costs"))
        table = ExitTable(**{"confidence": None} | values, rounded=True)
        _check_complete(table)
    except UserError as error:
        raise UserError(f"{path}, split '{split}': {error}") from None
    return table


def _check_complete(table: ExitTable) -> None:
    total = table.costs.stages.sum() + table.costs.heads[-1]
    if not np.isclose(total, 1, rtol=0, atol=1e-6):
        raise UserError(
            "expected the costs of all stages and the last head to add up to 1, the plain network, "
            f"but they add up to {total:.6g}."
        )
    if table.confidence is not None and table.confidence.shape[1] != table.num_exits - 1:
        raise UserError(
            f"expected `confidence` of {table.num_exits - 1} early exits, "
            f"but got {table.confidence.shape[1]}."
        )


def quantised(values: FloatArray) -> NDArray[np.uint16]:
    """Return values in [0, 1] as multiples of 1/65535."""
    fixed: NDArray[np.uint16] = np.rint(values * FIXED_POINT).astype(np.uint16)
    return fixed


def restored(fixed: NDArray[np.uint16]) -> FloatArray:
    """Return the values that were `quantised`."""
    values: FloatArray = fixed.astype(np.float32) / np.float32(FIXED_POINT)
    return values


def _tails(table: ExitTable) -> NDArray[np.uint16] | None:
    """Return −ln p in steps of 1/32 where p is a small multiple of 1/65535, else 0."""
    known = table.log_probabilities is not None or not table.rounded
    if table.top_classes is not None or table.num_exits == 1 or not known:
        return None
    steps = np.minimum(-table.logarithms() * LOG_STEPS, np.iinfo(np.uint16).max)
    small = quantised_probabilities(table) < LOG_STEPS
    return np.where(small, np.rint(steps), 0).astype(np.uint16)


def _logarithms(fixed: NDArray[np.uint16], tails: NDArray[np.uint16]) -> FloatArray:
    of_fixed = np.log(np.maximum(fixed, 1).astype(np.float32) / np.float32(FIXED_POINT))
    logs: FloatArray = np.where(fixed < LOG_STEPS, tails / np.float32(-LOG_STEPS), of_fixed)
    return logs


def _in_planes(values: NDArray[np.uint16] | None) -> NDArray[np.uint8] | None:
    """Return low and high bytes as ``(2, …)``: so they compress better by a tenth."""
    if values is None:
        return None
    return np.stack([values & 255, values >> 8]).astype(np.uint8)


def _from_planes(planes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    low, high = planes.astype(np.uint16)
    values: NDArray[np.uint16] = low + (high << 8)
    return values


def quantised_probabilities(table: ExitTable) -> NDArray[np.uint16]:
    """Return a table's probabilities `quantised`, so that its answers stay the same."""
    fixed = np.rint(table.probabilities * FIXED_POINT).astype(np.uint16)
    if table.top_classes is not None:
        return fixed
    # Rounding may tie the answer with classes of lower index, which would then win: lower these.
    answers = table.answers[:, :, None]
    best = np.maximum(np.take_along_axis(fixed, answers, axis=2), (answers > 0).astype(np.uint16))
    np.put_along_axis(fixed, answers, best, axis=2)
    ties = (fixed == best) & (np.arange(table.num_classes) < answers)
    fixed[ties] -= 1
    return fixed
