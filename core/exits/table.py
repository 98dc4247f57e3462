"""What every exit said about every sample, as plain arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from core.foundation.errors import UserError
from core.foundation.files import atomic_path

FloatArray = NDArray[np.float32]
CostArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

FIXED_POINT = 65535  # probabilities on disk are uint16 multiples of 1/65535
MOST_CLASSES_IN_FULL = 20  # with more classes only the likeliest are kept on disk
TOP_CLASSES = 8
_ROUNDING = 1e-5  # how far float32 arithmetic may push a probability out of [0, 1]


@dataclass(frozen=True, eq=False)
class ExitTable:
    """The answers of all E exits for N samples: every view and every tuner works on this.

    Arrays are coerced to the types below and are read-only.

    Args:
        probabilities: ``(N, E, K)`` class probabilities in [0, 1]; with ``top_classes``,
            ``(N, E, k)``, the k largest in descending order.
        confidence: ``(N, E-1)`` learned confidence of the early exits in [0, 1], or None where
            the method has none.
        labels: ``(N,)`` true classes, -1 where unknown.
        ids: ``(N,)`` index of each sample in its split.
        stage_costs: ``(E,)`` MACs of each stage / MACs of the plain network.
        head_costs: ``(E,)`` the same of each head, the last being the plain classifier, so that
            ``stage_costs.sum() + head_costs[-1] == 1``.
        classes: the K names.
        top_classes: ``(N, E, k)`` which class each kept probability belongs to; k >= 2.
        entropy: ``(N, E)`` entropy of the whole distribution / ln K, in [0, 1]; required with
            ``top_classes``, where it can no longer be computed.

    While a network is still running a table may hold just the exits so far, all of them early:
    ``confidence`` then has E columns and the costs do not add up to 1.

    Raises:
        UserError: an array has the wrong shape, type or range, or is not finite.
    """

    probabilities: FloatArray
    confidence: FloatArray | None
    labels: IntArray
    ids: IntArray
    stage_costs: CostArray
    head_costs: CostArray
    classes: tuple[str, ...]
    top_classes: IntArray | None = None
    entropy: FloatArray | None = None

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
        for name in ("stage_costs", "head_costs"):
            _check_range(name, keep(name, np.float64, "(E,)", (e,)), 0, np.inf)
        if self.confidence is not None:
            columns = np.shape(self.confidence)[1] if np.ndim(self.confidence) == 2 else None
            keep("confidence", np.float32, "(N, E-1)", (n, e if columns == e else e - 1))
        if self.entropy is not None:
            keep("entropy", np.float32, "(N, E)", (n, e))
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
        """Return a table of fields that are right by construction, without looking.

        For the inner loop of inference, which makes one after every exit.
        """
        table = object.__new__(cls)
        for name, value in ({"top_classes": None, "entropy": None} | fields).items():
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
        """``(N, E)`` the likeliest class; the one of lowest index where several are."""
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
        """``(E,)`` accuracy over the labelled samples had all left there; NaN without labels."""
        labelled = np.count_nonzero(self.labelled)
        if not labelled:
            return np.full(self.num_exits, np.nan)
        accuracy: CostArray = self.right.sum(axis=0) / labelled
        return accuracy

    @property
    def agreement_per_exit(self) -> CostArray:
        """``(E,)`` share of the samples that get the last exit's answer there; NaN without any.

        Not the same as accuracy: an exit may share the mistakes of the whole network.
        """
        if not len(self):
            return np.full(self.num_exits, np.nan)
        agreement: CostArray = (self.answers == self.answers[:, -1:]).mean(axis=0)
        return agreement

    def relative_costs(self, enabled: Sequence[bool] | BoolArray | None = None) -> CostArray:
        """Return the cost ``(E,)`` of leaving at each exit, in units of the plain network.

        The stages so far, every *enabled* early head so far, and at the end the final head.
        A disabled head (``enabled``: E-1 flags, default all on) is not computed and costs nothing.
        """
        heads: CostArray = self.head_costs.copy()
        if enabled is not None:
            heads[:-1] *= _array("enabled", enabled, np.bool_, "(E-1,)", (self.num_exits - 1,))
        return np.cumsum(self.stage_costs + heads)

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
        )

    def asked(self, exits: Sequence[int] | NDArray[Any]) -> "ExitTable":
        """Return the table of just these exits, in order: what a run knows that asked them.

        Stages in between belong to the exit that follows them.
        """
        index = np.asarray(exits, np.int64)
        reached = np.cumsum(self.stage_costs)[index]
        confidence = self.confidence
        if confidence is not None:  # the final exit has none
            confidence = confidence[:, index[index < confidence.shape[1]]]
        return self.unchecked(
            probabilities=self.probabilities[:, index],
            confidence=confidence,
            labels=self.labels,
            ids=self.ids,
            stage_costs=np.diff(reached, prepend=0.0),
            head_costs=self.head_costs[index],
            classes=self.classes,
            top_classes=None if self.top_classes is None else self.top_classes[:, index],
            entropy=None if self.entropy is None else self.entropy[:, index],
        )

    def truncated(self, k: int = TOP_CLASSES) -> "ExitTable":
        """Return the table with just the ``k >= 2`` likeliest classes and the stored entropy."""
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
            entropy=self._entropy(),
        )

    def as_kept(self) -> "ExitTable":
        """Return what a file keeps of the table: in 16 bits; with many classes, the likeliest."""
        table = self.truncated() if self.num_classes > MOST_CLASSES_IN_FULL else self
        confidence = table.confidence
        return replace(
            table,
            probabilities=_restored(_quantised_probabilities(table)),
            confidence=None if confidence is None else _restored(_quantised(confidence)),
            entropy=_restored(_quantised(table._entropy())),
        )

    def _entropy(self) -> FloatArray:
        return normalised_entropy(self.probabilities) if self.entropy is None else self.entropy


def normalised_entropy(probabilities: FloatArray) -> FloatArray:
    """Return −Σ p ln p / ln K over the last axis, in [0, 1]; 0 for a single class.

    Args:
        probabilities: ``(..., K)`` whole distributions.
    """
    classes = probabilities.shape[-1]
    if classes == 1:
        return np.zeros(probabilities.shape[:-1], np.float32)
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    entropy: FloatArray = -np.einsum("...k,...k->...", probabilities, logs) / np.log(classes)
    return entropy.clip(0, 1).astype(np.float32)


def save_tables(path: Path | str, tables: Mapping[str, ExitTable]) -> None:
    """Write tables by split name ("calibration", "test") into one ``.npz``, atomically.

    Probabilities, confidence and entropy become 16-bit fixed point (error <= 1/65535, finer near
    1 than float16). Above 20 classes the top 8 are kept. Answers survive exactly.

    Raises:
        UserError: a table is incomplete: its costs do not add up to 1.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for split, table in tables.items():
        _check_complete(table)
        table = table.as_kept()
        fields: dict[str, NDArray[Any] | None] = {
            "probabilities": _quantised_probabilities(table),
            "confidence": None if table.confidence is None else _quantised(table.confidence),
            "entropy": _quantised(table._entropy()),
            "top_classes": table.top_classes,
            "labels": table.labels,
            "ids": table.ids,
            "stage_costs": table.stage_costs,
            "head_costs": table.head_costs,
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
    except Exception as error:  # a damaged archive fails in many ways, all of them the file's fault
        raise UserError(
            f"expected an exit table in {path}, but it is damaged or of another kind ({error}); "
            "make it anew or download it again."
        ) from None
    if not fields:
        raise UserError(f"expected an exit table in {path}, but it holds none of its fields.")
    return {split: _table(path, split, arrays) for split, arrays in fields.items()}


_FIELDS = {
    "probabilities": "u",
    "confidence": "u",
    "entropy": "u",
    "top_classes": "i",
    "labels": "i",
    "ids": "i",
    "stage_costs": "f",
    "head_costs": "f",
    "classes": "U",
}
_OPTIONAL = {"confidence", "top_classes"}


def _read(archive: Any, key: str, kind: str, path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = archive[key]
    except Exception as error:  # zip, zlib and numpy each have their own for damaged bytes
        raise UserError(
            f"expected field '{key}' of {path} to be readable, but it is damaged ({error}); "
            "make the file anew or download it again."
        ) from None
    if array.dtype.kind != kind or (kind == "u" and array.dtype != np.uint16):
        what = {"u": "uint16", "i": "whole numbers", "f": "numbers", "U": "text"}[kind]
        raise UserError(
            f"expected field '{key}' of {path} to hold {what}, but got {array.dtype}; "
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
        name: _restored(array) if _FIELDS[name] == "u" else array for name, array in arrays.items()
    }
    try:
        if values["classes"].ndim != 1:
            raise UserError(f"expected `classes` of shape (K,), but got {values['classes'].shape}.")
        values["classes"] = tuple(values["classes"].tolist())
        table = ExitTable(**{"confidence": None} | values)
        _check_complete(table)
    except UserError as error:
        raise UserError(f"{path}, split '{split}': {error}") from None
    return table


def _check_complete(table: ExitTable) -> None:
    total = table.stage_costs.sum() + table.head_costs[-1]
    if not np.isclose(total, 1, rtol=0, atol=1e-6):
        raise UserError(
            "expected `stage_costs` and the last of `head_costs` to add up to 1, "
            f"the plain network, but they add up to {total:.6g}."
        )
    if table.confidence is not None and table.confidence.shape[1] != table.num_exits - 1:
        raise UserError(
            f"expected `confidence` of {table.num_exits - 1} early exits, "
            f"but got {table.confidence.shape[1]}."
        )


def _quantised(values: FloatArray) -> NDArray[np.uint16]:
    fixed: NDArray[np.uint16] = np.rint(values * FIXED_POINT).astype(np.uint16)
    return fixed


def _restored(fixed: NDArray[np.uint16]) -> FloatArray:
    values: FloatArray = fixed.astype(np.float32) / np.float32(FIXED_POINT)
    return values


def _quantised_probabilities(table: ExitTable) -> NDArray[np.uint16]:
    fixed = np.rint(table.probabilities * FIXED_POINT).astype(np.uint16)
    if table.top_classes is not None:
        return fixed
    # Rounding may tie the answer with a class of lower index, which would then win: lower those.
    answers = table.answers[:, :, None]
    best = np.maximum(np.take_along_axis(fixed, answers, axis=2), (answers > 0).astype(np.uint16))
    np.put_along_axis(fixed, answers, best, axis=2)
    usurpers = (fixed == best) & (np.arange(table.num_classes) < answers)
    fixed[usurpers] -= 1
    return fixed


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
    kinds = {"f": "fiu", "i": "iu", "b": "b"}[dtype.kind]
    if array.size and array.dtype.kind not in kinds:
        what = {"f": "numbers", "i": "whole numbers", "b": "true or false"}[dtype.kind]
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


def _check_range(name: str, array: NDArray[Any], low: float, high: float) -> None:
    if array.size and not (low <= array.min() and array.max() <= high and np.isfinite(array).all()):
        span = f"at least {low:g} and finite" if high == np.inf else f"from {low:g} to {high:g}"
        raise UserError(
            f"expected `{name}` to be {span}, but it ranges from {array.min()} to {array.max()}."
        )
