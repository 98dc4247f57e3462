from pathlib import Path

import pytest

from core.foundation.errors import UserError
from core.networks.build import build
from core.training.optimizer import learning_rate
from core.training.recipe import load_recipe, recipe_names
from tests.core.training.tiny import tiny_recipe


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_valid_and_named_after_their_file(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    exits = build(recipe.network).num_exits
    for phase in recipe.phases:
        assert phase.exit_weights is None or len(phase.exit_weights) == exits
    if recipe.plain is not None:
        plain = load_recipe(recipe.plain)
        assert plain.dataset == recipe.dataset
        assert plain.network.backbone == recipe.network.backbone


def test_an_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"Did you mean 'resnet20-cifar10'"):
        load_recipe("resnet20-cifar")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name = ", "cannot be read"),
        ('phases = [{epochs = 1, learning_rate = 1}]\nname = "x"', "not valid at `title`"),
        ('phases = [{epochs = 1, learning_rate = 1}]\nname = "../x"', "not valid at `name`"),
    ],
)
def test_a_damaged_recipe_names_file_and_field(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(UserError, match=rf"mine\.toml.*{message}"):
        load_recipe(str(path))


def test_a_recipe_says_only_what_its_base_does_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'base = "eenet20-cifar10"\nflip = false\n[network]\nconfidence_input = "features"'
    )
    recipe, base = load_recipe(str(path)), load_recipe("eenet20-cifar10")
    network = base.network.model_copy(update={"confidence_input": "features"})
    changes = {"name": "mine", "flip": False, "network": network}
    assert recipe == base.model_copy(update=changes)
    path.write_text(f'base = "{path}"')
    with pytest.raises(UserError, match=r"expected a TOML file, .* but got"):
        load_recipe(str(path))


def test_an_unknown_loss_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"phases.*'correctnes'.*Did you mean 'correctness'"):
        tiny_recipe([{"epochs": 1, "learning_rate": 0.1, "loss": "correctnes"}])


def test_phases_follow_each_other() -> None:
    recipe = tiny_recipe([{"epochs": 2, "learning_rate": 1}, {"epochs": 3, "learning_rate": 2}])
    rates = [recipe.phase_at(epoch)[0].learning_rate for epoch in range(recipe.epochs)]
    assert rates == [1, 1, 2, 2, 2]
    assert [recipe.phase_at(epoch)[1] for epoch in range(recipe.epochs)] == [0, 1, 0, 1, 2]


def test_cosine_rises_to_its_peak_and_falls_to_nothing() -> None:
    recipe = tiny_recipe([{"epochs": 1, "learning_rate": 0.1, "warmup": 0.2}])
    rates = [learning_rate(recipe.phases[0], step / 100) for step in range(100)]
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == 20
    assert rates[0] < 0.01
    assert rates[-1] < 1e-3


@pytest.mark.parametrize(
    "changes",
    [{"mean": [0.5]}, {"std": [0.5]}, {"mean": [0.5, 0.5], "std": [0.5, 0.5]}],
)
def test_a_normalisation_has_both_parts_for_every_channel(changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"one number per channel|1 numbers, one per channel"):
        tiny_recipe(**changes)


def test_a_normalisation_by_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="`std` to be above 0"):
        tiny_recipe(mean=[0.5], std=[0.0])
