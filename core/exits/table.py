"""Exit tables: the outputs of every exit for every sample, as plain arrays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import ArrayLike, DTypeLike, NDArray

from core.foundation.costs import CostArray, Costs
from core.foundation.errors import UserError

__all__ = [
    "TINY",
    "BoolArray",
    "CostArray",
    "ExitTable",
    "FloatArray",
    "IntArray",
    "is_answer",
    "normalised_entropy",
]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

TOP_CLASSES = 8
TINY = float(np.finfo(np.float32).tiny)
"""The smallest probability that is divided by, or whose logarithm is taken."""
_DEFAULTS = {"top_classes": None, "entropy": None, "log_probabilities": None, "rounded": False}
_ROUNDING = 1e-5  # tolerance in float32 for probabilities outside of [0, 1]


@dataclass(frozen=True, eq=False)
class ExitTable:
    """Outputs of all E exits for N samples.

    Arrays are coerced to the types below and are read-only.

    Args:
        probabilities: ``(N, E, K)`` class probabilities in [0, 1]; with ``top_classes``,
            ``(N, E, k)``, the k largest in descending order.
        confidence: ``(N, E-1)`` learned confidence of the early exits in [0, 1], or None where
            the method has none.
        labels: ``(N,)`` true classes, -1 where unknown.
        ids: ``(N,)`` index of each sample in its split.
        costs: of the E stages and heads, in units of the plain network.
        classes: the K names.
        top_classes: ``(N, E, k)`` class of each kept probability; k >= 2.
        entropy: ``(N, E)`` entropy of the full distribution / ln K, in [0, 1]; required with
            ``top_classes``, where it can no longer be computed.
        log_probabilities: ``(N, E, K)`` natural logarithms of the probabilities before these were
            rounded, as temperatures need them; None: those of ``probabilities``.
        rounded: whether ``probabilities`` were rounded on disk, so that small ones may be 0.

    During inference a table may hold only the exits so far, all of them early: ``confidence`` then
    has E columns and the costs do not add up to 1.

    Raises:
        UserError: an array has the wrong shape, type or range, or is not finite.
    """

    probabilities: FloatArray
    confidence: FloatArray | None
    labels: IntArray
    ids: IntArray
    costs: Costs
    classes: tuple[str, ...]
    top_classes: IntArray | None = None
    entropy: FloatArray | None = None
    log_probabilities: FloatArray | None = None
    rounded: bool = False

    def __post_init__(self) -> None:
        def keep(name: str, dtype: DTypeLike, axes: str, shape: Sequence[int | None]) -> Any:
            array = _array(name, getattr(self, name), dtype, axes, shape)
            object.__setattr__(self, name, array)
            return array

        object.__setattr__(self, "classes", tuple(str(name) for name in self.classes))
        kept = None if self.top_classes is not None else self.num_classes
        axes = "(N, E, K)" if self.top_classes is None else "(N, E, k)"
        probabilities = keep("probabilities", np.float32, axes, (None, None, kept))
        n, e, k = probabilities.shape
        if e == 0 or k == 0:
            raise UserError(
                "expected `probabilities` of at least one exit and one class, "
                f"but got shape {probabilities.shape}."
            )
        if n and probabilities.sum(axis=2, dtype=np.float64).max() > 1.01:
            raise UserError(
                "expected `probabilities` to add up to 1 over the classes, but some add up to "
                "more; pass softmax outputs."
            )
        keep("labels", np.int64, "(N,)", (n,))
        _check_range("labels", self.labels, -1, self.num_classes - 1)
        keep("ids", np.int64, "(N,)", (n,))
        if len(self.costs) != e:
            raise UserError(
                f"expected the `costs` of {e} exits, as there are `probabilities` of, but got "
                f"those of {len(self.costs)}."
            )
        if self.confidence is not None:
            columns = np.shape(self.confidence)[1] if np.ndim(self.confidence) == 2 else None
            keep("confidence", np.float32, "(N, E-1)", (n, e if columns == e else e - 1))
        if self.entropy is not None:
            keep("entropy", np.float32, "(N, E)", (n, e))
        if self.log_probabilities is not None:
            logs = np.asarray(self.log_probabilities, np.float32)
            if logs.shape != probabilities.shape or not (logs <= 0).all():
                raise UserError(
                    f"expected `log_probabilities` of shape {probabilities.shape} and at most 0, "
                    f"but got shape {logs.shape} and a largest of {logs.max(initial=-np.inf):g}."
                )
            logs.setflags(write=False)
            object.__setattr__(self, "log_probabilities", logs)
        if self.top_classes is not None:
            top = keep("top_classes", np.int64, "(N, E, k)", (n, e, k))
            _check_range("top_classes", top, 0, self.num_classes - 1)
            if k < min(2, self.num_classes):
                raise UserError("expected at least two `top_classes` per exit, but got one.")
            if (np.diff(probabilities, axis=2) > 0).any():
                raise UserError(
                    "expected `probabilities` in descending order where `top_classes` is given, "
                    "but some rise; sort both together."
                )
            if self.entropy is None:
                raise UserError(
                    "expected `entropy` where `top_classes` is given, but got None; "
                    "make the table with `ExitTable.truncated`."
                )

    @classmethod
    def unchecked(cls, **fields: Any) -> "ExitTable":
        """Return a table of fields that are valid by construction, without checks.

        For the inner loop of inference, which makes a table after every exit.
        """
        table = object.__new__(cls)
        for name, value in (_DEFAULTS | fields).items():
            object.__setattr__(table, name, value)
        return table

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_exits(self) -> int:
        """E, the final exit included."""
        return int(self.probabilities.shape[1])

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.classes)

    @cached_property
    def answers(self) -> IntArray:
        """``(N, E)`` the likeliest class; of equally likely ones, that of lowest index."""
        if self.top_classes is not None:
            return self.top_classes[:, :, 0]
        answers: IntArray = self.probabilities.argmax(axis=2)
        return answers

    @cached_property
    def right(self) -> BoolArray:
        """``(N, E)`` whether the answer is the label; False where the label is unknown."""
        right: BoolArray = self.answers == self.labels[:, None]
        return right

    @property
    def labelled(self) -> BoolArray:
        """``(N,)`` whether the label is known."""
        return self.labels >= 0

    @property
    def accuracy_per_exit(self) -> CostArray:
        """``(E,)`` accuracy over the labelled samples if all left there; NaN without labels."""
        labelled = np.count_nonzero(self.labelled)
        if not labelled:
            return np.full(self.num_exits, np.nan)
        accuracy: CostArray = self.right.sum(axis=0) / labelled
        return accuracy

    @property
    def agreement_per_exit(self) -> CostArray:
        """``(E,)`` share of the samples that get the last exit's answer there; NaN without any.

        Not the same as accuracy: an exit may share the mistakes of the full network.
        """
        if not len(self):
            return np.full(self.num_exits, np.nan)
        agreement: CostArray = (self.answers == self.answers[:, -1:]).mean(axis=0)
        return agreement

    def select(self, index: NDArray[Any] | Sequence[int]) -> "ExitTable":
        """Return the table of the samples in ``index``: positions in order, or a mask (N,)."""
        index = np.asarray(index, dtype=None if len(index) else np.int64)

        def rows(array: NDArray[Any] | None) -> Any:
            return None if array is None else array[index]

        return replace(
            self,
            probabilities=rows(self.probabilities),
            confidence=rows(self.confidence),
            labels=rows(self.labels),
            ids=rows(self.ids),
            top_classes=rows(self.top_classes),
            entropy=rows(self.entropy),
            log_probabilities=rows(self.log_probabilities),
        )

    def select_exits(self, exits: Sequence[int] | NDArray[Any]) -> "ExitTable":
        """Return the table of these exits only, given in order, as if there were no others.

        Stages in between belong to the exit that follows them.
        """
        index = np.asarray(exits, np.int64)

        def columns(array: NDArray[Any] | None) -> Any:
            return None if array is None else array[:, index]

        confidence = self.confidence
        if confidence is not None:  # the final exit has none
            confidence = confidence[:, index[index < confidence.shape[1]]]
        return self.unchecked(
            probabilities=columns(self.probabilities),
            confidence=confidence,
            labels=self.labels,
            ids=self.ids,
            costs=self.costs.select(index),
            classes=self.classes,
            top_classes=columns(self.top_classes),
            entropy=columns(self.entropy),
            log_probabilities=columns(self.log_probabilities),
            rounded=self.rounded,
        )

    def truncated(self, k: int = TOP_CLASSES) -> "ExitTable":
        """Return the table with only the ``k >= 2`` likeliest classes, and the full entropy."""
        if self.top_classes is not None:
            order = np.broadcast_to(np.arange(self.probabilities.shape[2]), self.top_classes.shape)
            names = self.top_classes
        else:
            order = np.argsort(-self.probabilities, axis=2, kind="stable")
            names = order
        order = order[:, :, :k]
        return replace(
            self,
            probabilities=np.take_along_axis(self.probabilities, order, axis=2),
            top_classes=names[:, :, :k],
            entropy=self.full_entropy(),
            log_probabilities=None,
        )

    def logarithms(self) -> FloatArray:
        """Return the logarithms ``(N, E, K)`` of the probabilities, −∞ for 0.

        Raises:
            UserError: only the top classes are left, or small probabilities were rounded to 0.
        """
        if self.top_classes is not None:
            raise UserError(
                "expected a table with all classes for temperatures, but this one keeps the top "
                f"{self.probabilities.shape[2]} of {self.num_classes}; do without temperatures, or "
                "make the table by running the network."
            )
        if self.log_probabilities is not None:
            return self.log_probabilities
        if self.rounded:
            raise UserError(
                "expected a table with the logarithms of its probabilities for temperatures, but "
                "this one was stored without, and small probabilities are rounded; do without "
                "temperatures, or add them to a model's tables with `python -m core models "
                "--complete MODEL`."
            )
        with np.errstate(divide="ignore"):
            logs: FloatArray = np.log(self.probabilities)
        return logs

    def full_entropy(self) -> FloatArray:
        """Return the normalised entropy ``(N, E)`` of the full distributions."""
        return normalised_entropy(self.probabilities) if self.entropy is None else self.entropy


def is_answer(table: ExitTable, exit_index: int) -> BoolArray:
    """Return ``(N, K)`` whether a class is the answer of an exit, on a table of all classes."""
    xp = array_namespace(table.probabilities)
    classes = xp.arange(table.probabilities.shape[2], device=device(table.probabilities))
    chosen: BoolArray = classes[None, :] == table.answers[:, exit_index][:, None]
    return chosen


def normalised_entropy(probabilities: FloatArray) -> FloatArray:
    """Return −Σ p ln p / ln K over the last axis, in [0, 1]; 0 for a single class.

    Args:
        probabilities: ``(..., K)`` of all classes.
    """
    xp = array_namespace(probabilities)
    classes = probabilities.shape[-1]
    if classes == 1:
        return xp.zeros_like(probabilities[..., 0])  # type: ignore[no-any-return]
    logs = xp.log(xp.clip(probabilities, TINY, None))
    entropy = -xp.sum(probabilities * logs, axis=-1) / math.log(classes)
    return xp.clip(entropy, 0.0, 1.0)  # type: ignore[no-any-return]


def _array(
    name: str, value: ArrayLike, dtype: DTypeLike, axes: str, shape: Sequence[int | None]
) -> NDArray[Any]:
    """Return ``value`` as a read-only array of this type and shape (None: any length)."""
    dtype = np.dtype(dtype)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        raise UserError(f"expected `{name}` to be an array {axes}, but got {value!r}.") from None
    expected = "/".join("any" if size is None else str(size) for size in shape)
    if array.ndim != len(shape) or any(
        size not in (None, got) for size, got in zip(shape, array.shape, strict=True)
    ):
        raise UserError(
            f"expected `{name}` of shape {axes} (sizes {expected}), but got shape {array.shape}."
        )
    kinds, what = {"f": ("fiu", "numbers"), "i": ("iu", "whole numbers")}[dtype.kind]
    if array.size and array.dtype.kind not in kinds:
        raise UserError(f"expected `{name}` to hold {what}, but got {array.dtype}.")
    array = array.astype(dtype, copy=False).view()
    if dtype == np.float32 and array.size:
        low, high = array.min(), array.max()
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # also catches NaN
            raise UserError(
                f"expected `{name}` to lie in [0, 1], but it ranges from {low} to {high}."
            )
        if low < 0 or high > 1:
            array = array.clip(0, 1)
    array.setflags(write=False)
    return array


def _check_range(name: str, array: IntArray, low: int, high: int) -> None:
    if array.size and not (low <= array.min() and array.max() <= high):
        raise UserError(
            f"expected `{name}` to be from {low} to {high}, but it ranges from {array.min()} to "
            f"{array.max()}."
        )


def joined(tables: Sequence[ExitTable]) -> ExitTable:
    """Return the samples of several tables of one network as one table, in their order."""
    arrays: dict[str, Any] = {}
    for name in ("probabilities", "confidence", "labels", "ids", "top_classes", "entropy"):
        parts = [getattr(table, name) for table in tables]
        if parts[0] is not None:
            arrays[name] = np.concatenate(parts)
    return replace(tables[0], **arrays, log_probabilities=None)
