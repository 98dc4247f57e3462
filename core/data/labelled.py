"""Labelled pictures of anybody's: torch's Dataset and DataLoader."""

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
    loader: DataLoader[Any],
) -> Iterator[tuple[list[Any] | Tensor, NDArray[np.int64]]]:
    """Yield a loader's pictures and labels (B,), batch by batch.

    Raises:
        UserError: the batches are no pairs, the labels no class indices, or pictures that the
            loader cannot put together.
    """
    batches = iter(loader)
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
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise UserError(
                f"expected batches of (pictures, labels), but got {type(batch).__name__}: make the "
                "data set give both."
            )
        pictures, labels = batch
        numbers = np.asarray(labels)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise UserError(
                "expected labels that are class indices, one whole number per picture, but got "
                f"{numbers.dtype} of shape {numbers.shape[1:]} for each: map them to 0, 1, 2, …"
            )
        yield (
            pictures if isinstance(pictures, Tensor) else list(pictures),
            numbers.astype(np.int64),
        )
