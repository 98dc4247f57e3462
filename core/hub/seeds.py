"""Mean and standard deviation of a recipe's figures over several seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from core.foundation.markdown import markdown_table
from core.hub.card import Card
from core.hub.registry import shipped_models
from core.training.recipe import Recipe, load_recipe, recipe_names

Train = Callable[[Recipe, Path, str], None]
"""Trains a recipe in a folder and leaves the model in ``model`` there; the text is its command."""


@dataclass(frozen=True)
class Spread:
    """A figure that was measured once per seed; None where a seed's model does not have it."""

    values: tuple[float | None, ...]

    @property
    def mean(self) -> float | None:
        """Mean; None unless every seed has a value."""
        known = self._known()
        return fmean(known) if known else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation (n − 1) of at least two; None unless every seed has a value."""
        known = self._known()
        return stdev(known) if known else None

    def _known(self) -> list[float]:
        known = [value for value in self.values if value is not None]
        return known if len(known) == len(self.values) else []


def model_with_seed(name: str, seed: int, runs: Path, train: Train) -> Path | str:
    """Return a recipe's model with another seed; train it unless it is there.

    The models that the recipe names, its plain network, teacher and first weights, are trained
    with the same seed, so that models of different seeds share no weights.

    Args:
        name: of the recipe.
        seed: of this model and of the models that it names. The recipe's own seed gives the
            shipped model.
        runs: folder for the runs; this model's run is ``runs/NAME-seedN``.
        train: function that trains.
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
    """Return the figures on test of models that differ in their seed, by the name of the figure.

    Accuracies and costs are shares. An operating point that a model cannot reach is None.
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
    points = [{point.max_drop: point.test for point in card.operating_points} for card in cards]
    for max_drop in sorted(names):
        reached = [by_drop.get(max_drop) for by_drop in points]
        accuracies = [None if split is None else split.accuracy for split in reached]
        label = names[max_drop]
        figures[f"{label}, accuracy"] = Spread(tuple(accuracies))
        if against:
            figures[f"{label}, against the plain network"] = Spread(
                tuple(
                    None if accuracy is None else accuracy - plain
                    for accuracy, plain in zip(accuracies, plains, strict=True)
                )
            )
        figures[f"{label}, relative cost"] = Spread(
            tuple(None if split is None else split.relative_cost for split in reached)
        )
    return figures


def spread_table(name: str, seeds: Sequence[int], figures: dict[str, Spread]) -> str:
    """Return a Markdown table of `spreads`, in percent."""
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
