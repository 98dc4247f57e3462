"""Encoded pictures in Parquet files of the Hugging Face layout, read row by row.

A file has a column ``image``, a struct of ``bytes`` and ``path``, and a column ``label``. Class
names are in the schema's metadata.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.foundation.errors import UserError

IMAGE, LABEL = "image", "label"
METADATA = b"huggingface"
GROUP, GROUP_BYTES = 64, 2**20
"""Pictures that are written together, and bytes: one cannot be read without the others."""
SHARD = 512 * 2**20
"""Bytes of pictures after which another file begins."""
KEPT = 64 * 2**20
"""Bytes of encoded pictures that each process keeps at hand."""
_FAULTS = (pa.ArrowException, OSError, ValueError, KeyError, TypeError)


class ParquetRows:
    """The rows of Parquet files, one file after the other; safe to hand to worker processes.

    Attributes:
        files: in their order.
        labels: (N,) int64.
        classes: K names; empty where the files have none.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        """Read the labels of all rows, but no picture.

        Raises:
            UserError: a file that is damaged, or of another layout.
        """
        self.files = tuple(files)
        self.classes: tuple[str, ...] = ()
        labels, counts = [], []
        self._groups: list[tuple[int, int]] = []  # file, group in it
        for number, path in enumerate(self.files):
            with self._sentences(path), pq.ParquetFile(path) as file:
                _check_schema(file.schema_arrow, path)
                self.classes = self.classes or _class_names(file.schema_arrow)
                labels.append(file.read([LABEL]).column(LABEL).to_numpy().astype(np.int64))
                for group in range(file.num_row_groups):
                    self._groups.append((number, group))
                    counts.append(file.metadata.row_group(group).num_rows)
        self.labels: NDArray[np.int64] = np.concatenate(labels)
        self._ends = np.array([*accumulate(counts)], np.int64)
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._footers: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def encoded(self, row: int) -> bytes:
        """Return a picture as it is in its file. Raises `UserError` for a damaged file."""
        value, start = self._at(row)
        content = value[row - start]["bytes"].as_py()
        if content is None:
            raise UserError(
                f"expected the bytes of the picture in row {row} of {self.files[0].parent}, but "
                "there are none: prepare the data set again from files that hold their pictures."
            )
        return bytes(content)

    def path(self, row: int) -> str:
        """Return the name that a picture had as a file; "" where none is kept."""
        value, start = self._at(row)
        return value[row - start]["path"].as_py() or ""

    def _at(self, row: int) -> tuple[Any, int]:
        """Return the pictures of the row's group, and the first row in it."""
        place = int(np.searchsorted(self._ends, row, "right"))
        start = int(self._ends[place - 1]) if place else 0
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place], start
        number, group = self._groups[place]
        path = self.files[number]
        footer = self._footers.get(number)
        with (
            self._sentences(path),
            pq.ParquetFile(path, metadata=footer, memory_map=True) as file,
        ):
            self._footers[number] = file.metadata
            column = file.read_row_group(group, [IMAGE], use_threads=False).column(IMAGE)
            self._kept[place] = column.combine_chunks()
        while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[place], start

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": OrderedDict(), "_footers": {}}

    @staticmethod
    def _sentences(path: Path) -> "_Sentences":
        return _Sentences(path)


class _Sentences:
    """Turns what pyarrow raises about a file into a `UserError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, _FAULTS) and not isinstance(error, UserError):
            raise UserError(
                f"expected {self.path} to be a Parquet file of pictures and labels, but it cannot "
                f"be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}; "
                "copy it again."
            ) from None


def _check_schema(schema: pa.Schema, path: Path) -> None:
    kinds = {field.name: field.type for field in schema}
    image, label = kinds.get(IMAGE), kinds.get(LABEL)
    fields = {field.name for field in image} if image and pa.types.is_struct(image) else set()
    if "bytes" not in fields or label is None or not pa.types.is_integer(label):
        raise UserError(
            f"expected {path} to have the columns `{IMAGE}` (a struct of `bytes` and `path`) and "
            f"`{LABEL}` (whole numbers), as Hugging Face writes them, but got "
            f"{', '.join(f'{name} ({kind})' for name, kind in kinds.items())[:200] or 'none'}."
        )


def _class_names(schema: pa.Schema) -> tuple[str, ...]:
    try:
        content = json.loads((schema.metadata or {})[METADATA])
        return tuple(map(str, content["info"]["features"][LABEL]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()


def schema_of(classes: Sequence[str]) -> pa.Schema:
    """Return the schema of a file of pictures of these classes."""
    label = {"_type": "ClassLabel", "names": list(classes)}
    features = {IMAGE: {"_type": "Image"}, LABEL: label}
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return pa.schema(
        {IMAGE: image, LABEL: pa.int64()},
        metadata={METADATA: json.dumps({"info": {"features": features}})},
    )


def write_rows(
    path: Path, classes: Sequence[str], rows: Iterator[tuple[bytes, str, int]], most: int
) -> bool:
    """Write pictures as (bytes, path, label) into one file, in groups, see `GROUP`.

    Returns:
        Whether it ended after ``most`` bytes of pictures, so that more rows may be left.
    """
    schema = schema_of(classes)
    written = 0
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        while written < most and (group := _group(rows)):
            table = [
                {IMAGE: {"bytes": content, "path": name}, LABEL: label}
                for content, name, label in group
            ]
            writer.write_table(pa.Table.from_pylist(table, schema))
            written += sum(len(content) for content, _, _ in group)
    return written >= most


def _group(rows: Iterator[tuple[bytes, str, int]]) -> list[tuple[bytes, str, int]]:
    group: list[tuple[bytes, str, int]] = []
    size = 0
    for row in islice(rows, GROUP):
        group.append(row)
        size += len(row[0])
        if size >= GROUP_BYTES:
            break
    return group
