"""Every field of a card, policy, recipe and table changed: refused in words, or harmless."""

import copy
import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.table_file import load_tables
from core.foundation.errors import UserError
from core.hub.card import Card
from core.hub.model import load
from core.hub.registry import card_of, model_folder
from core.training.recipe import load_recipe

MODEL = "eenet8-mnist"
OF_A_PLACE = 4
"""Mutations that are tried at every place; which ones, the seed decides."""
VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 0.5, -0.5, 1e308, -1e308, 10**400, 2**63, math.nan),
    *(math.inf, -math.inf, "", "x", "x" * 10_000, "NaN", [], {}, [[]], [None], {"a": 1}),
    *("<script>", "\0", "../../etc/passwd"),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the innermost last."""
    if path:
        yield path
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from places(item, (*path, key))


def mutated(value: Any, path: tuple[Any, ...], chance: random.Random) -> Any:
    """A copy with another value at one place, or without it, or with it twice."""
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    last = path[-1]
    match chance.randrange(8):
        case 0:
            del inner[last]
        case 1 if isinstance(inner, list):
            inner.append(inner[last])
        case 2 if isinstance(inner, dict):
            inner[f"{last}_"] = inner[last]
        case 3 if isinstance(inner[last], int | float):
            inner[last] = -inner[last]
        case _:
            inner[last] = chance.choice(VALUES)
    return changed


def mutations(value: Any, seed: int) -> Iterator[tuple[tuple[Any, ...], Any]]:
    chance = random.Random(seed)
    for path in places(value):
        for _ in range(OF_A_PLACE):
            yield path, mutated(value, path, chance)


def works(card: Card) -> None:
    """What any page does with a card."""
    card.default_policy.check(card.num_exits)
    assert np.isfinite(card.costs.at_exits()).all()
    assert card.macs(1.0) == card.plain_macs > 0
    size, channels = card.spec.image_size, card.spec.in_channels
    pixels = np.zeros((1, size, size, channels), np.uint8)
    assert card.evaluation_transform is not None
    assert len(pixels[0, 0, 0]) == len(card.mean) == len(card.std)


def test_every_field_of_a_card(tmp_path: Path) -> None:
    card = json.loads((model_folder(MODEL) / "card.json").read_text())
    card["training"]["recipe"] = {"name": "x"}  # of the recipe, below
    card["transform"] = card_of(MODEL).evaluation_transform.model_dump(mode="json")
    accepted = {}
    for path, changed in mutations(card, seed=0):
        (tmp_path / "card.json").write_text(json.dumps(changed))
        try:
            read = card_of(tmp_path)
        except UserError:
            continue
        works(read)
        accepted[path] = changed
    assert "exit_names" not in {path[0] for path in accepted}


@pytest.mark.parametrize("field", ["spec", "std", "classes", "operating_points", "sha256"])
def test_what_a_network_reads_of_a_card_it_runs_with(field: str, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder(MODEL), tmp_path / "model")
    card = json.loads((folder / "card.json").read_text())
    image = np.zeros((1, 28, 28, 1), np.uint8)
    chance = random.Random(1)
    inside = [path for path in places(card) if path[0] == field]
    for path in chance.sample(inside, min(30, len(inside))):
        (folder / "card.json").write_text(json.dumps(mutated(card, path, chance)))
        try:
            model = load(folder)
            (answer,) = model.predict(image).labels
        except UserError:
            continue
        assert 0 <= answer < len(model.card.classes)


def test_every_field_of_a_policy() -> None:
    policy = Policy("confidence", [0.8, 0.7], [True, False], [1.0, 2.0, 0.5]).to_dict()
    for _, changed in mutations(json.loads(json.dumps(policy)), seed=2):
        try:
            read = Policy.from_json(json.dumps(changed), "it")
        except UserError:
            continue
        assert all(0 <= threshold <= 1 for threshold in read.thresholds)


def test_every_field_of_a_recipe(tmp_path: Path) -> None:
    card = json.loads((model_folder(MODEL) / "card.json").read_text())
    path = tmp_path / "card.json"
    for _, changed in mutations(card["training"]["recipe"], seed=3):
        path.write_text(json.dumps(card | {"training": card["training"] | {"recipe": changed}}))
        try:
            recipe = load_recipe(str(path))
        except UserError:
            continue
        assert recipe.epochs >= 1


def test_every_field_of_a_table(tmp_path: Path) -> None:
    with np.load(model_folder(MODEL) / "table.npz") as archive:
        fields = {name: archive[name] for name in archive.files if name.startswith("test/")}
    count = len(fields["test/labels"])
    few = {
        name: array[:50]
        if array.shape[:1] == (count,)
        else array[:, :50]
        if name == "test/tails"
        else array
        for name, array in fields.items()
    }
    chance = random.Random(4)
    path = tmp_path / "table.npz"
    for name, array in few.items():
        numbers = array.dtype.kind in "iuf"
        changes = [
            *(array[:-1], array[..., None], array[:0], array.astype("U") if numbers else array[:1]),
            array.astype(np.float64) * np.nan if numbers else array[::-1],
            -array.astype(np.int64) - 2 if numbers else np.array(["a"]),
            np.full_like(array, chance.randrange(200)) if numbers else np.array(5),
        ]
        for changed in changes:
            np.savez(path, **(few | {name: changed}))
            try:
                table = load_tables(path)["test"]
            except UserError:
                continue
            if len(table):
                evaluate(table, Policy.never("max_probability", table.num_exits))
