"""Policies: a criterion, and a threshold and an on/off switch per early exit."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.exits.criteria import CRITERIA
from core.exits.table import ExitTable, FloatArray
from core.foundation.errors import UserError, nearest
from core.foundation.files import read_json, write_json

RECEIPT = "receipt"
"""Field of a policy's file that says where the policy comes from, see `core.hub.receipt`."""


@dataclass(frozen=True, init=False)
class Policy:
    """The rule to leave at the first enabled exit whose score exceeds its threshold; a value.

    Args:
        criterion: a name in `core.exits.criteria.CRITERIA`.
        thresholds: one per early exit (E-1), in [0, 1].
        enabled: one flag per early exit; a disabled exit is skipped and its head not computed.
            A softmax can be exactly 1, so a threshold of 1 is not "off". None: all on.
        temperatures: one per exit (E), positive; logits are divided by them before the score.

    Raises:
        UserError: an unknown criterion, or values of the wrong type, number or range.
    """

    criterion: str
    thresholds: tuple[float, ...]
    enabled: tuple[bool, ...]
    temperatures: tuple[float, ...] | None

    def __init__(
        self,
        criterion: str,
        thresholds: Sequence[float] | NDArray[Any],
        enabled: Sequence[bool] | NDArray[np.bool_] | None = None,
        temperatures: Sequence[float] | NDArray[Any] | None = None,
    ) -> None:
        if not isinstance(criterion, str):
            raise UserError(f"expected `criterion` to be a name, but got {criterion!r}.")
        thresholds = _numbers("thresholds", thresholds)
        early = len(thresholds)
        for threshold in thresholds:
            if not 0 <= threshold <= 1:
                raise UserError(
                    f"expected every one of `thresholds` to lie in [0, 1], but got {threshold:g}."
                )
        enabled = (True,) * early if enabled is None else _flags(enabled)
        if len(enabled) != early:
            raise UserError(
                f"expected `enabled` to have {early} flags, one per threshold, "
                f"but got {len(enabled)}."
            )
        if temperatures is not None:
            temperatures = _numbers("temperatures", temperatures)
            if len(temperatures) != early + 1:
                raise UserError(
                    f"expected {early + 1} `temperatures`, one per exit and the final one "
                    f"included, but got {len(temperatures)}."
                )
            if not all(0 < temperature < math.inf for temperature in temperatures):
                raise UserError(
                    "expected every one of `temperatures` to be above 0, but got "
                    f"{list(temperatures)}."
                )
        object.__setattr__(self, "criterion", CRITERIA[criterion].name)
        object.__setattr__(self, "thresholds", thresholds)
        object.__setattr__(self, "enabled", enabled)
        object.__setattr__(self, "temperatures", temperatures)

    @classmethod
    def never(cls, criterion: str, num_exits: int) -> "Policy":
        """Return the policy with all E-1 early exits off: every sample runs to the final exit."""
        early = num_exits - 1
        return cls(criterion, (1.0,) * early, (False,) * early)

    def check(self, num_exits: int) -> None:
        """Raise `UserError` unless there is one threshold per early exit of ``num_exits``."""
        if len(self.thresholds) != num_exits - 1:
            raise UserError(
                f"expected {num_exits - 1} thresholds, one per early exit, but got "
                f"{len(self.thresholds)}; give one threshold for every exit but the last."
            )

    def apply_temperatures(self, table: ExitTable) -> ExitTable:
        """Return ``table`` with probabilities softmax(ln p / T), T the temperature of each exit.

        Raises:
            UserError: the table has only the top classes, where all are needed to normalise, or was
                stored without `log_probabilities`.
        """
        self.check(table.num_exits)
        if self.temperatures is None or set(self.temperatures) == {1}:
            return table
        logits = table.logarithms().astype(np.float64)
        logits /= np.array(self.temperatures)[:, None]
        logits -= logits.max(axis=2, keepdims=True)
        weights = np.exp(logits)
        probabilities = (weights / weights.sum(axis=2, keepdims=True)).astype(np.float32)
        return replace(
            table, probabilities=probabilities, entropy=None, log_probabilities=None, rounded=False
        )

    def scores(self, table: ExitTable) -> FloatArray:
        """Return the scores ``(N, E-1)`` that the thresholds are compared with.

        Raises:
            UserError: another number of exits, or a criterion that the table cannot give.
        """
        return CRITERIA[self.criterion].scores(self.apply_temperatures(table), self.enabled)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Any) -> "Policy":
        """Return the policy with the fields that `to_dict` gave.

        Raises:
            UserError: a field is missing, unknown or of the wrong type; names it.
        """
        if not isinstance(value, dict):
            raise UserError(
                f"expected a policy to be an object with the fields {', '.join(_FIELDS)}, "
                f"but got {_shown(value)}."
            )
        for field in value:
            if field not in _FIELDS:
                raise UserError(
                    f"expected the fields {', '.join(_FIELDS)}, but got {_shown(field)}."
                    f"{nearest(str(field), _FIELDS)}"
                )
        for field in ("criterion", "thresholds"):
            if field not in value:
                raise UserError(f"expected a policy with the field `{field}`, but it is missing.")
        return cls(**value)

    def save(self, path: Path | str) -> None:
        """Write the policy as JSON, atomically."""
        write_json(Path(path), self.to_dict())

    @classmethod
    def from_json(cls, content: str | bytes, name: str) -> "Policy":
        """Return the policy in an uploaded JSON text; ``name`` stands for it in messages.

        Raises:
            UserError: it is not JSON, or not a policy; the message has ``name`` and the field.
        """
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            raise UserError(
                f"expected {name} to be a policy in JSON, but it cannot be read as JSON; "
                "choose a file that was saved here or by `python -m core tune`."
            ) from None
        return cls._named(value, name)

    @classmethod
    def load(cls, path: Path | str) -> "Policy":
        """Read a policy from JSON. Raises `UserError` naming the file and the field."""
        return cls._named(read_json(Path(path)), str(path))

    @classmethod
    def _named(cls, value: Any, name: str) -> "Policy":
        if isinstance(value, dict):
            value = {field: one for field, one in value.items() if field != RECEIPT}
        try:
            return cls.from_dict(value)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None


OFF = "off"


def write_thresholds(policy: Policy) -> str:
    """Return thresholds and switches as text: "0.9, off, 0.8"."""
    return ", ".join(
        f"{threshold:.6g}" if on else OFF
        for threshold, on in zip(policy.thresholds, policy.enabled, strict=True)
    )


def read_thresholds(text: str, policy: Policy) -> Policy:
    """Return ``policy`` with the thresholds of a text like "0.9, off, 0.8", one per early exit.

    An exit that is switched off keeps its threshold.

    Raises:
        UserError: another number of thresholds, or a threshold that is no number in [0, 1].
    """
    words = text.replace(",", " ").replace(";", " ").lower().split()
    if len(words) != len(policy.thresholds):
        raise UserError(
            f"expected {len(policy.thresholds)} thresholds, one per early exit, but got "
            f"{len(words)}: write them like {write_thresholds(policy)}."
        )
    thresholds = []
    for word, old in zip(words, policy.thresholds, strict=True):
        try:
            thresholds.append(old if word == OFF else float(word))
        except ValueError:
            raise UserError(
                f"expected a threshold to be a number from 0 to 1 or '{OFF}', "
                f"but got {_shown(word)}."
            ) from None
    return Policy(
        policy.criterion, thresholds, [word != OFF for word in words], policy.temperatures
    )


_FIELDS = ("criterion", "thresholds", "enabled", "temperatures")


def _items(name: str, values: Any, what: str) -> list[Any]:
    if isinstance(values, str | bytes | dict | set):
        raise UserError(f"expected `{name}` to be a list of {what}, but got {_shown(values)}.")
    try:
        return list(values)
    except TypeError:
        raise UserError(
            f"expected `{name}` to be a list of {what}, but got {_shown(values)}."
        ) from None


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    items = _items(name, values, "numbers")
    numbers: list[float] = []
    for item in items:
        try:
            number = (
                math.nan if isinstance(item, bool) or not isinstance(item, Real) else float(item)
            )
        except OverflowError:
            number = math.inf
        if math.isnan(number):
            raise UserError(f"expected `{name}` to be numbers, but got {_shown(item)}.")
        numbers.append(number)
    return tuple(numbers)


def _flags(values: Any) -> tuple[bool, ...]:
    items = _items("enabled", values, "true or false")
    for item in items:
        if not isinstance(item, bool | np.bool_):
            raise UserError(f"expected `enabled` to be true or false, but got {_shown(item)}.")
    return tuple(bool(item) for item in items)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
