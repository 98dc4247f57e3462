"""Presets: settings that suit most networks, changed field by field."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.foundation.errors import UserError, nearest
from core.training.recipe import Phase, Settings, validated

FOLDER = Path(__file__).parent / "presets"
APART = ("loss", "then", "turn", "trains")
"""Fields in which the phases of a preset differ on purpose."""


def preset_names() -> list[str]:
    """Return the names of the presets."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_preset(
    name_or_path: str, changes: Mapping[str, Any], *, exits: bool = True, confidence: bool = True
) -> Settings:
    """Return a preset's settings, or those of a TOML file, with some fields changed.

    Args:
        name_or_path: "frozen-exits", "joint", "fine-tune" or a file.
        changes: fields of `Settings`, or of every `Phase`. ``epochs`` are those of all phases
            together and ``learning_rate`` is the highest: the phases keep their proportions.
        exits: whether the network has early exits; without, phases that train only them are left
            out.
        confidence: whether the exits have confidence branches; likewise.

    Raises:
        UserError: no such preset or field, a value that is not valid, or nothing left to train.
    """
    _check_names(changes)
    content = _read(name_or_path) | {
        name: value for name, value in changes.items() if name in Settings.model_fields
    }
    trainable = {"all", "heads", *["exits"] * exits, *["confidence"] * (exits and confidence)}
    phases = [
        phase
        for given in content.get("phases", ())
        if (phase := validated(Phase, _fields(given), name_or_path)).trains in trainable
    ]
    if not phases:
        raise UserError(
            f"expected a network with early exits, as {name_or_path} trains nothing else, but it "
            "has none: attach some (core.attach)."
        )
    content["phases"] = _changed(phases, changes)
    return validated(Settings, content, name_or_path)


def _check_names(changes: Mapping[str, Any]) -> None:
    known = [name for name in (*Settings.model_fields, *Phase.model_fields) if name not in APART]
    for name in changes:
        if name in APART:
            raise UserError(
                f"expected `phases` instead of `{name}`, which differs from phase to phase: pass a "
                "list that says it for each."
            )
        if name not in known:
            raise UserError(
                f"expected the name of a training setting, but got `{name}`."
                f"{nearest(name, known)} Known: {', '.join(known)}."
            )


def _read(name_or_path: str) -> dict[str, Any]:
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        names = preset_names()
        raise UserError(
            f"expected `recipe` to be {', '.join(names)} or a TOML file, but got "
            f"{str(name_or_path)!r}.{nearest(str(name_or_path), names)}"
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"the recipe {path} cannot be read: {error}.") from None


def _fields(phase: Phase | dict[str, Any]) -> dict[str, Any]:
    return phase.model_dump() if isinstance(phase, Phase) else phase


def _changed(phases: list[Phase], changes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return phases with their common fields changed, their epochs and rates in proportion."""
    epochs = _scaled([phase.epochs for phase in phases], changes.get("epochs"))
    highest = max(phase.learning_rate for phase in phases)
    rate = changes.get("learning_rate", highest)
    if not isinstance(rate, int | float) or not rate > 0:
        raise UserError(f"expected `learning_rate` to be a number above 0, but got {rate!r}.")
    common = {name: value for name, value in changes.items() if name in Phase.model_fields}
    return [
        phase.model_dump()
        | common
        | {
            "epochs": count,
            "learning_rate": phase.learning_rate * rate / highest,
            "average": common.get("average", phase.average) and phase.trains == "all",
        }
        for phase, count in zip(phases, epochs, strict=True)
    ]


def _scaled(epochs: list[int], wanted: object) -> list[int]:
    """Return epochs in the same proportions that add up to ``wanted``, at least one each."""
    if wanted is None:
        return epochs
    if not isinstance(wanted, int) or wanted < len(epochs):
        raise UserError(
            f"expected `epochs` to be {len(epochs)} or more, one for each phase, but got "
            f"{wanted!r}."
        )
    scaled = [max(1, round(wanted * phase / sum(epochs))) for phase in epochs]
    scaled[scaled.index(max(scaled))] += wanted - sum(scaled)
    return scaled
