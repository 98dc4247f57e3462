"""Training on encoded pictures, on a trunk whose first blocks stay as they are."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.data.parquet import write_rows
from core.data.pictures import PictureSet
from core.data.splits import load_split
from core.foundation.errors import UserError
from core.hub.model import Model
from core.hub.publish import publish
from core.networks.build import build
from core.training.crops import RandomCrops
from core.training.loop import Trainer, train
from core.training.recipe import Recipe
from tests.core.training.tiny import same_weights, tiny_recipe

CPU = torch.device("cpu")
CLASSES = ("horizontal", "vertical")
PHASES = [
    {"epochs": 1, "learning_rate": 0.05, "trains": "exits"},
    {"epochs": 2, "learning_rate": 0.05},
]


def bar(label: int, seed: int) -> bytes:
    """A bar across a picture of some size larger than the network reads."""
    random = np.random.default_rng(seed)
    height, width = random.integers(12, 20, 2)
    pixels = random.integers(0, 100, (height, width), np.uint8)
    if label:
        pixels[:, width // 2] = 250
    else:
        pixels[height // 2] = 250
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "bars"
    folder.mkdir(parents=True)
    for file, count, first in (("train", 100, 0), ("test", 40, 1000)):
        rows = ((bar(i % 2, first + i), f"{i}.png", i % 2) for i in range(count))
        write_rows(folder / f"{file}-0.parquet", CLASSES, rows, 2**30)
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode here: workers take seconds to begin."""
    monkeypatch.setattr("core.training.sources.DECODERS", 0)
    monkeypatch.setattr("core.hub.model.DECODERS", 0)


def recipe(**changes: Any) -> Recipe:
    own = {"crop_pad": 0, "crop_scale": 0.5, "flip": True, "resize": 10, "frozen": "block1"}
    return tiny_recipe(PHASES, **(own | changes))


def sets(root: Path) -> tuple[PictureSet, PictureSet]:
    parts = load_split("bars", "train", root), load_split("bars", "calibration", root)
    assert isinstance(parts[0], PictureSet)
    assert isinstance(parts[1], PictureSet)
    return parts  # type: ignore[return-value]


@pytest.mark.parametrize("views", [0, 2])
def test_frozen_blocks_stay_and_the_others_learn(views: int, root: Path, tmp_path: Path) -> None:
    trainer = Trainer.of_recipe(recipe(views=views), *sets(root), CPU, features=tmp_path)
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    list(trainer.epochs())
    changed = {
        name for name, now in trainer.network.state_dict().items() if now.ne(before[name]).any()
    }
    still = ("trunk.blocks.stem.", "trunk.blocks.block1.")
    assert not any(name.startswith(still) for name in changed)
    for place in ("trunk.blocks.block2.", "trunk.blocks.block3.", "heads.block1.", "heads.final."):
        assert any(name.startswith(place) for name in changed)


@pytest.mark.parametrize("views", [0, 2])
def test_resumed_training_equals_uninterrupted_training(
    views: int, root: Path, tmp_path: Path
) -> None:
    plan = recipe(views=views)
    straight = train(plan, tmp_path / "straight", data=root)
    train(plan, tmp_path / "broken", data=root, should_stop=lambda: True)
    resumed = train(plan, tmp_path / "broken", data=root, resume=True)
    same_weights(straight, resumed)


@torch.no_grad()
@pytest.mark.parametrize("blocks", range(5))
def test_what_follows_some_blocks_can_be_run_apart(blocks: int) -> None:
    network = build(recipe().network).eval()
    images = torch.rand(3, 1, 8, 8)
    outputs = network.rest(network.start(images, blocks), blocks)
    whole = network(images)
    assert torch.equal(outputs.logits, whole.logits)
    assert torch.equal(outputs.confidence_logits, whole.confidence_logits)


def test_kept_features_are_those_of_the_pictures(root: Path, tmp_path: Path) -> None:
    train_set, calibration = sets(root)
    kept = Trainer.of_recipe(recipe(views=1), train_set, calibration, CPU, features=tmp_path)
    fresh = Trainer.of_recipe(recipe(), train_set, calibration, CPU)
    ours = torch.cat([logits for _, logits, _ in kept.outputs(kept.calibration.whole())])
    theirs = torch.cat([logits for _, logits, _ in fresh.outputs(fresh.calibration.whole())])
    torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=5e-3)  # they are in half precision


def test_the_card_has_the_transform_and_a_table_of_the_encoded_pictures(
    root: Path, tmp_path: Path
) -> None:
    network = train(recipe(), tmp_path / "run", data=root)
    card = publish(network, tmp_path / "model", root)
    assert [step.kind for step in card.evaluation_transform.steps] == ["resize", "center_crop"]
    model = Model(network, card, tmp_path / "model", CPU)
    test = load_split("bars", "test", root)
    assert isinstance(test, PictureSet)
    table = model.shipped_table("test")
    np.testing.assert_array_equal(table.ids, test.ids)
    np.testing.assert_array_equal(table.labels, test.labels)
    seen = model.table([test.picture(index) for index in range(len(test))])
    np.testing.assert_allclose(table.probabilities, seen.probabilities, atol=1e-4)
    answers = model.predict(test)
    again = model.predict([test.picture(index) for index in range(len(test))])
    np.testing.assert_array_equal(answers.labels, again.labels)
    np.testing.assert_array_equal(answers.exits, again.exits)


def test_a_large_table_keeps_the_likeliest_classes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = load_split("bars", "test", root)
    assert isinstance(test, PictureSet)
    many = [str(number) for number in range(30)]
    network = build(recipe().network.model_copy(update={"num_classes": 30}))
    model = Model.of(network, many)
    whole = model.table(test)
    monkeypatch.setattr("core.hub.model.LARGEST_TABLE", 4 * 3 * 30 * 16)
    parts = model.table(test)
    assert whole.top_classes is None
    assert parts.top_classes is not None
    np.testing.assert_array_equal(parts.ids, test.ids)
    np.testing.assert_array_equal(parts.labels, whole.labels)
    np.testing.assert_array_equal(parts.top_classes[..., 0], whole.probabilities.argmax(axis=2))
    np.testing.assert_allclose(parts.full_entropy(), whole.full_entropy(), atol=1e-5)


def test_each_look_sees_another_part_of_at_least_the_least_area(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    pictures, _ = sets(root)
    columns = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    rows = columns.T[:100].repeat(2, axis=1)
    place = Image.fromarray(np.stack([columns, rows, rows], axis=2))
    monkeypatch.setattr(PictureSet, "picture", lambda self, index: place)
    crops = RandomCrops(pictures, 3, 32, 0.4)
    looks = [crops[0][0].astype(int) for _ in range(50)]
    widths = [look[16, -1, 0] - look[16, 0, 0] + 1 for look in looks]
    heights = [look[-1, 16, 1] - look[0, 16, 1] + 1 for look in looks]
    assert len(set(widths)) > 10
    areas = np.multiply(widths, heights) / (200 * 100)
    assert areas.min() > 0.3  # the outermost pixels are means of some
    assert areas.max() < 1
    sides = np.divide(widths, heights)
    assert 0.7 < sides.min() < sides.max() < 1.4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frozen": "block9"}, "`frozen` to name a block"),
        ({"network": recipe().network.model_dump() | {"num_classes": 3}}, "3 classes"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, root: Path
) -> None:
    with pytest.raises(UserError, match=message):
        Trainer.of_recipe(recipe(**changes), *sets(root), CPU)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": 2, "frozen": None}, "`frozen` with `views`"),
        ({"resize": 7}, "at least `image_size`"),
    ],
)
def test_contradictions_in_a_recipe_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe(**changes)
