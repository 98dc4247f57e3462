import json
from pathlib import Path

import pytest

from core.foundation.errors import UserError
from core.networks.build import build
from core.networks.cost import count
from core.networks.trunk import TRUNKS
from core.training import lesson, losses, progress
from core.training.lesson import LOSSES, MOST_EPOCHS, PLACES, Lesson
from core.training.recipe import load_recipe


def test_every_loss_is_described_and_lambda_has_a_say_where_it_should() -> None:
    need_other_heads = {"exclusion", "gates", "gated"}
    assert set(LOSSES) == set(losses.LOSSES) - need_other_heads
    assert lesson.COST_AWARE == progress.COST_AWARE


def test_every_place_of_the_backbone_is_offered() -> None:
    trunk = TRUNKS["eenet8"](1)
    free = [name for name, fits in zip(trunk.names, trunk.exit_allowed, strict=True) if fits]
    assert list(PLACES) == free[:-1]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("epochs", [1, MOST_EPOCHS])
def test_every_choice_makes_a_recipe_of_so_many_epochs(loss: str, epochs: int) -> None:
    recipe = Lesson(loss=loss, epochs=epochs, exits=PLACES).recipe("mine-1", "Mine")
    assert recipe.epochs == epochs
    assert recipe.phases[-1].loss == loss
    network = build(recipe.network)
    assert network.exit_names == (*PLACES, "final")
    assert (network.heads["stem"].confidence_branch is None) == (loss == "v0")
    assert count(network, 1, 28).plain_macs < 1_000_000


def test_what_is_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match="lambda_cost"):
        Lesson(lambda_cost=-1).recipe("mine-1", "Mine")
    with pytest.raises(UserError, match="epochs"):
        Lesson(epochs=0).recipe("mine-1", "Mine")


def test_a_recipe_can_be_read_from_a_card(tmp_path: Path) -> None:
    recipe = Lesson(seed=7).recipe("mine-1", "Mine")
    path = tmp_path / "card.json"
    facts = {"recipe": recipe.model_dump(mode="json", exclude_none=True)}
    path.write_text(json.dumps({"training": facts}))
    assert load_recipe(str(path)) == recipe


def test_a_card_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text("{}")
    with pytest.raises(UserError, match="to be a model's card"):
        load_recipe(str(path))
