"""One recipe with several seeds: how much of a figure is chance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from core.foundation.markdown import markdown_table
from core.hub.card import Card
from core.hub.registry import shipped_models
from core.training.recipe import Recipe, load_recipe, recipe_names

Train = Callable[[Recipe, Path, str], None]
"""Trains a recipe in a folder and leaves the model in its ``model``, made by such a command."""


@dataclass(frozen=True)
class Spread:
    """A figure that was measured once per seed; None where a seed's model does not have it."""

    values: tuple[float | None, ...]

    @property
    def mean(self) -> float | None:
        """Their mean, if every seed has one."""
        known = self._known()
        return fmean(known) if known else None

    @property
    def deviation(self) -> float | None:
        """Their standard deviation (n − 1), if every seed has one; at least two seeds."""
        known = self._known()
        return stdev(known) if known else None

    def _known(self) -> list[float]:
        known = [value for value in self.values if value is not None]
        return known if len(known) == len(self.values) else []


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
    if seed == recipe.seed and name in shipped_models():
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

    Accuracies and costs are shares. An operating point that a seed's model cannot reach is None
    there.
    """
    figures: dict[str, Spread] = {}
    plains = [card.plain.test_accuracy for card in cards if card.plain is not None]
    against = len(plains) == len(cards)
    if against:
        figures["plain network, accuracy"] = Spread(tuple(plains))
    for index, name in enumerate(cards[0].exit_names):
        figures[f"exit {index + 1} ({name}), accuracy"] = Spread(
            tuple(card.per_exit_accuracy["test"][index] for card in cards)
        )
    names = {
        point.max_drop: point.name
        for card in cards
        for point in card.operating_points
        if point.max_drop is not None
    }
    for max_drop in sorted(names):
        reached = [
            next((p.test for p in card.operating_points if p.max_drop == max_drop), None)
            for card in cards
        ]
        accuracies = [None if point is None else point.accuracy for point in reached]
        label = f"{names[max_drop]} (≤ {max_drop * 100:g} points)"
        figures[f"{label}, accuracy"] = Spread(tuple(accuracies))
        if against:
            figures[f"{label}, against the plain network"] = Spread(
                tuple(
                    None if accuracy is None else accuracy - plain
                    for accuracy, plain in zip(accuracies, plains, strict=True)
                )
            )
        figures[f"{label}, relative cost"] = Spread(
            tuple(None if point is None else point.relative_cost for point in reached)
        )
    return figures


def spread_table(name: str, seeds: Sequence[int], figures: dict[str, Spread]) -> str:
    """Return a Markdown table of what `spreads` figures, in percent."""
    head = [f"`{name}`", "mean", "standard deviation", *(f"seed {seed}" for seed in seeds)]
    rows = []
    for label, spread in figures.items():
        sign = "+" if "against" in label else ""
        values = (_percent(value, sign) for value in spread.values)
        mean, deviation = f"**{_percent(spread.mean, sign)}**", _percent(spread.deviation)
        rows.append([label, mean, deviation, *values])
    return markdown_table(head, rows)


def _percent(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{100 * value:{sign}.2f}"
