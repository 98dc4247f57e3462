"""Labelled pictures of anybody's: torch's Dataset and DataLoader, batch by batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from core.foundation.errors import UserError

Labelled = Dataset[Any] | DataLoader[Any]
"""Items, or batches, of (picture, label)."""


def labelled_batches(
    source: Labelled, batch_size: int
) -> Iterator[tuple[list[Any] | Tensor, NDArray[np.int64]]]:
    """Yield pictures and labels (B,), no more at once than a batch.

    Args:
        source: a Dataset of (picture, label), or a DataLoader, whose own batches and workers are
            used; it must not shuffle where the order matters.
        batch_size: of the batches that a Dataset is cut into.

    Raises:
        UserError: the items are no pairs, the labels no class indices, or pictures that the
            DataLoader cannot put together.
    """
    if isinstance(source, DataLoader):
        batches = iter(source)
    else:
        batches = iter(DataLoader(source, batch_size, collate_fn=_transposed))
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except TypeError as error:
            raise UserError(
                f"expected a DataLoader that puts pictures and labels together, but it fails "
                f"({str(error).splitlines()[0]}): pass the Dataset itself, or a `collate_fn`."
            ) from None
        yield _pair(batch)


def _transposed(items: list[Any]) -> tuple[list[Any], list[Any]]:
    for item in items:
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise _no_pairs(item)
    return [item[0] for item in items], [item[1] for item in items]


def _pair(batch: Any) -> tuple[list[Any] | Tensor, NDArray[np.int64]]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise _no_pairs(batch)
    pictures, labels = batch
    numbers = np.asarray(labels)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise UserError(
            "expected labels that are class indices, one whole number per picture, but got "
            f"{numbers.dtype} of shape {numbers.shape[1:]} for each: map them to 0, 1, 2, …"
        )
    return pictures if isinstance(pictures, Tensor) else list(pictures), numbers.astype(np.int64)


def _no_pairs(item: object) -> UserError:
    return UserError(
        f"expected pairs of (picture, label), but got {type(item).__name__}: make the data set "
        "give both."
    )
