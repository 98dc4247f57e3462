from pathlib import Path

import pytest

from core.hub.card import Card
from core.hub.registry import card_of
from core.hub.seeds import Spread, model_with_seed, spread_table, spreads
from core.training.recipe import Recipe


class Training:
    """Notes what was to be trained, and leaves a card as if it had been."""

    def __init__(self) -> None:
        self.recipes: list[Recipe] = []

    def __call__(self, recipe: Recipe, folder: Path, command: str) -> None:
        self.recipes.append(recipe)
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "card.json").write_text("{}")
        assert command.startswith("python -m core seeds ")


def test_what_a_recipe_builds_on_is_trained_with_the_same_seed(tmp_path: Path) -> None:
    train = Training()
    model = model_with_seed("eenet20-cifar10", 3, tmp_path, train)
    assert model == tmp_path / "eenet20-cifar10-seed3" / "model"
    assert [recipe.name for recipe in train.recipes] == [
        "resnet20-cifar10",
        "branchy20-cifar10",
        "eenet20-cifar10",
    ]
    assert {recipe.seed for recipe in train.recipes} == {3}
    plain = str(tmp_path / "resnet20-cifar10-seed3" / "model")
    assert [recipe.plain for recipe in train.recipes] == [None, plain, plain]
    assert train.recipes[1].start_from == plain
    assert train.recipes[2].start_from == str(tmp_path / "branchy20-cifar10-seed3" / "model")


def test_nothing_is_trained_twice(tmp_path: Path) -> None:
    model_with_seed("eenet8-mnist", 1, tmp_path, Training())
    again = Training()
    model_with_seed("eenet8-mnist", 1, tmp_path, again)
    assert model_with_seed("eenet8-mnist", 0, tmp_path, again) == "eenet8-mnist"
    assert again.recipes == []


def with_test_accuracy(card: Card, plain: float, point: float, reachable: bool = True) -> Card:
    assert card.plain is not None
    first, *_ = card.operating_points
    figures = first.test.model_copy(update={"accuracy": point})
    changes = {
        "plain": card.plain.model_copy(update={"test_accuracy": plain}),
        "operating_points": (first.model_copy(update={"test": figures}),) if reachable else (),
    }
    return card.model_copy(update=changes)


def test_the_spread_over_seeds_is_against_the_plain_network_of_the_same_seed() -> None:
    card = card_of("eenet8-mnist")
    cards = [with_test_accuracy(card, 0.90, 0.89), with_test_accuracy(card, 0.94, 0.95)]
    found = spreads(cards)
    assert found["plain network, accuracy"].mean == pytest.approx(0.92)
    name = card.operating_points[0].name
    (label,) = [label for label in found if label.startswith(name) and "against" in label]
    assert found[label].values == pytest.approx((-0.01, 0.01))
    assert found[label].mean == pytest.approx(0)
    assert found[label].deviation == pytest.approx(0.01 * 2**0.5)
    text = spread_table(card.name, (0, 1), found)
    assert f"| {label} | **+0.00** | 1.41 | -1.00 | +1.00 |" in text


@pytest.mark.parametrize("first", [True, False])
def test_a_point_that_one_seed_cannot_reach_has_no_mean(first: bool) -> None:
    card = card_of("eenet8-mnist")
    cards = [with_test_accuracy(card, 0.9, 0.9, reached) for reached in (first, not first)]
    found = spreads(cards)
    name = card.operating_points[0].name
    label = next(label for label in found if label.startswith(name) and "accuracy" in label)
    assert found[label].values == ((0.9, None) if first else (None, 0.9))
    assert found[label].mean is found[label].deviation is None
    values = "90.00 | –" if first else "– | 90.00"
    assert f"| {label} | **–** | – | {values} |" in spread_table(card.name, (0, 1), found)
    assert Spread((0.5, 0.5)).deviation == 0
