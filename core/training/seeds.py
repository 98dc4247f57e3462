"""One recipe with several seeds: how much of a figure is chance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from core.card import Card
from core.shelf import list_models
from core.training.recipe import Recipe, load_recipe, recipe_names

Train = Callable[[Recipe, Path, str], None]
"""Trains a recipe in a folder and leaves the model in its ``model``, made by such a command."""


@dataclass(frozen=True)
class Spread:
    """A figure that was measured once per seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return fmean(self.values)

    @property
    def deviation(self) -> float:
        """Their standard deviation (n − 1); at least two seeds."""
        return stdev(self.values)


def model_with_seed(name: str, seed: int, runs: Path, train: Train) -> Path | str:
    """Return a shipped recipe's model with another seed, trained unless that was done before.

    What the recipe builds on, its plain network and the one whose weights it starts from, is
    trained with that seed as well: nothing but the recipes is shared.

    Args:
        name: of the recipe.
        seed: of this and all that it builds on. The recipe's own gives the shipped model.
        runs: folder for the runs; ``runs/NAME-seedN`` is this one's.
        train: does it.
    """
    recipe = load_recipe(name)
    if seed == recipe.seed and name in list_models():
        return name
    folder = runs / f"{recipe.name}-seed{seed}"
    model = folder / "model"
    if (model / "card.json").is_file():
        return model
    base = {
        field: str(model_with_seed(value, seed, runs, train))
        for field in ("plain", "start_from", "teacher")
        if (value := getattr(recipe, field)) in recipe_names()
    }
    plan = recipe.model_copy(update={"seed": seed, **base})
    train(plan, folder, f"python -m core seeds {name} --seed {seed}")
    return model


def spreads(cards: Sequence[Card]) -> dict[str, Spread]:
    """Return what was measured on test, by what it is, over models that differ in their seed.

    Accuracies and costs are shares. An operating point that one of them cannot reach is left out.
    """
    found: dict[str, Spread] = {}
    if all(card.plain is not None for card in cards):
        found["plain network, accuracy"] = Spread(
            tuple(card.plain.test_accuracy for card in cards if card.plain is not None)
        )
    for index, name in enumerate(cards[0].exit_names):
        found[f"exit {index + 1} ({name}), accuracy"] = Spread(
            tuple(card.per_exit_accuracy["test"][index] for card in cards)
        )
    for first in cards[0].operating_points:
        points = [
            point
            for card in cards
            for point in card.operating_points
            if point.max_drop == first.max_drop
        ]
        if first.max_drop is not None and len(points) == len(cards):
            label = f"{first.name} (≤ {first.max_drop * 100:g} points)"
            found[f"{label}, accuracy"] = Spread(tuple(point.test.accuracy for point in points))
            if "plain network, accuracy" in found:
                plains = found["plain network, accuracy"].values
                found[f"{label}, against the plain network"] = Spread(
                    tuple(
                        point.test.accuracy - plain
                        for point, plain in zip(points, plains, strict=True)
                    )
                )
            found[f"{label}, relative cost"] = Spread(
                tuple(point.test.relative_cost for point in points)
            )
    return found


def spread_table(name: str, seeds: Sequence[int], found: dict[str, Spread]) -> str:
    """Return a Markdown table of what `spreads` found, in percent."""
    lines = [
        f"| `{name}` | mean | standard deviation | "
        + " | ".join(f"seed {seed}" for seed in seeds)
        + " |",
        "|---" * (3 + len(seeds)) + "|",
    ]
    for label, spread in found.items():
        sign = "+" if "against" in label else ""
        values = " | ".join(f"{100 * value:{sign}.2f}" for value in spread.values)
        lines.append(
            f"| {label} | **{100 * spread.mean:{sign}.2f}** | {100 * spread.deviation:.2f} | "
            f"{values} |"
        )
    return "\n".join(lines)
