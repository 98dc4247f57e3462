"""A network of one's own becomes a model: it answers, is measured, saved and loaded again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from core.cli.main import main
from core.data.transform import EvaluationTransform
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.foundation.errors import UserError
from core.foundation.plugins import FACTORY
from core.hub import model, storage
from core.hub.card import load_card
from core.hub.model import Model, load
from core.hub.registry import CARD, tables_of
from core.networks.attach import attach
from core.networks.network import ExitNetwork
from core.training.loop import TrainingResult
from core.training.recipe import Settings
from tests.core.networks.small import network, noise, torchvision_module

CLASSES = tuple(f"class {number}" for number in range(10))
TRANSFORM = transforms.Compose(
    [
        transforms.Grayscale(),
        transforms.Resize(28),
        transforms.CenterCrop(28),
        transforms.ToTensor(),
        transforms.Normalize((0.2,), (0.3,)),
    ]
)


def picture(number: int) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (40, 56, 3), np.uint8)
    return Image.fromarray(pixels)


class Pictures(Dataset[tuple[Any, int]]):
    """Labelled pictures of 56 × 40 pixels, made when they are read."""

    def __init__(self, transform: Callable[[Image.Image], Any] = lambda image: image) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if index >= len(self):
            raise IndexError
        return self.transform(picture(index)), index % 10


def own(**options: Any) -> Model:
    return Model.of(network(), CLASSES, **({"transform": TRANSFORM} | options))


def expected_probabilities(made: ExitNetwork) -> np.ndarray:
    inputs = torch.stack([TRANSFORM(picture(index)) for index in range(20)])
    with torch.inference_mode():
        return made(inputs).logits.softmax(dim=2).numpy()


SOURCES: dict[str, Callable[[], Any]] = {
    "pictures": Pictures,
    "transformed by the data set": lambda: Pictures(TRANSFORM),
    "a loader": lambda: DataLoader(Pictures(TRANSFORM), batch_size=3),
    "a loader of pictures": lambda: DataLoader(
        Pictures(), batch_size=7, collate_fn=lambda pairs: tuple(zip(*pairs, strict=True))
    ),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_labelled_pictures_of_any_kind_give_the_same_table(source: Callable[[], Any]) -> None:
    model = own()
    table = model.table(source(), batch_size=6)
    expected = expected_probabilities(model.network)
    np.testing.assert_allclose(table.probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(table.labels, np.arange(20) % 10)
    assert table.classes == CLASSES
    listed = model.table([picture(index) for index in range(20)])
    np.testing.assert_allclose(listed.probabilities, expected, atol=1e-5)


def test_bytes_of_the_networks_size_are_normalised() -> None:
    model, images = own(), noise(5)
    chosen = model.predict(images, Policy.never("margin", 3))
    tensors = [(torch.from_numpy(image).movedim(-1, 0), 0) for image in images]
    table = model.table(DataLoader(tensors, batch_size=2))  # type: ignore[arg-type]
    np.testing.assert_array_equal(table.answers[:, -1], chosen.labels)


def test_a_transform_is_asked_for_where_training_had_none() -> None:
    made = network()
    settings = Settings.model_validate({"phases": [{"epochs": 1, "learning_rate": 0.1}]})
    facts = TrainingResult(settings, [], 1, 2.0, None, False, 1, "an abacus")
    made.training_result = facts
    with pytest.raises(UserError, match=r"normalised already.*pass the transform"):
        Model.of(made, CLASSES)
    training = Model.of(made, CLASSES, TRANSFORM).card.training
    assert training is not None
    assert (training.best_epoch, training.seconds) == (1, 2.0)
    known = EvaluationTransform.of(TRANSFORM, (1, 28, 28))
    made.training_result = replace(facts, transform=known)
    assert Model.of(made, CLASSES).card.evaluation_transform == known


def saved(folder: Path, **options: Any) -> Model:
    model = own()
    return model.save(folder, **options)


def test_a_saved_model_is_the_same_again(tmp_path: Path) -> None:
    made = saved(tmp_path / "mine", calibration=Pictures(), test=Pictures())
    again = load(tmp_path / "mine")
    assert again.card.model_dump(mode="json") == made.card.model_dump(mode="json")
    assert (again.name, again.card.title) == ("mine", "mine")
    assert set(tables_of(tmp_path / "mine")) == {"calibration", "test"}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "mine").iterdir()} == {0o644}
    pictures = [picture(index) for index in range(20)]
    np.testing.assert_array_equal(
        again.predict(pictures).probabilities, made.predict(pictures).probabilities
    )
    stored = again.shipped_table("test")
    assert again.card.per_exit_accuracy["test"] == tuple(stored.accuracy_per_exit)
    for point in again.card.operating_points:
        assert point.test is not None
        report = evaluate(stored, Policy.from_dict(point.policy))
        assert report.accuracy == point.test.accuracy


def test_what_is_not_known_is_not_on_the_card(tmp_path: Path) -> None:
    card = saved(tmp_path / "mine").card
    assert (card.per_exit_accuracy, card.operating_points, card.training) == ({}, (), None)
    assert not (tmp_path / "mine" / "table.npz").exists()
    with pytest.raises(UserError, match="has none: save the model with `test=`"):
        load(tmp_path / "mine").shipped_table("test")
    with pytest.raises(UserError, match="its card has no such figures"):
        card.reference_accuracy("test")
    saved(tmp_path / "other", calibration=Pictures())
    card = load(tmp_path / "other").card
    assert set(card.per_exit_accuracy) == {"calibration"}
    assert card.operating_points
    assert all(point.test is None for point in card.operating_points)


def test_a_policy_of_ones_own_becomes_the_default(tmp_path: Path) -> None:
    policy = Policy("entropy", (0.5, 0.25))
    card = saved(tmp_path / "mine", policy=policy).card
    assert card.default_policy == policy
    card = saved(tmp_path / "mine", calibration=Pictures(), policy=policy).card
    assert card.default_policy == policy
    assert card.default_point is not None
    assert card.default_point.calibration is not None
    assert len(card.operating_points) > 1
    with pytest.raises(UserError, match="thresholds"):
        saved(tmp_path / "mine", policy=Policy("entropy", (0.5,)))


def test_commands_take_a_model_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "mine", calibration=Pictures(), test=Pictures())
    picture(3).save(tmp_path / "3.png")
    folder = str(tmp_path / "mine")
    for line in (
        ["predict", folder, str(tmp_path / "3.png")],
        ["evaluate", folder],
        ["tune", folder, "--max-drop", "0.5"],
    ):
        assert main(line) == 0, capsys.readouterr().err
    assert "block1" in capsys.readouterr().out


def opaque(image: Image.Image) -> Tensor:
    return transforms.functional.to_tensor(image.convert("L").resize((28, 28)))


def test_a_transform_that_cannot_be_stored_works_in_memory_only(tmp_path: Path) -> None:
    model = own(transform=opaque)
    pictures = [picture(index) for index in range(4)]
    inputs = torch.stack([opaque(image) for image in pictures])
    with torch.inference_mode():
        expected = model.network(inputs).logits[:, -1].argmax(dim=1)
    answers = model.table(pictures).answers[:, -1]
    np.testing.assert_array_equal(answers, expected.numpy())
    assert len(model.table(noise(3))) == 3  # bytes become pictures
    with pytest.raises(UserError, match=r"step <function opaque.*use a torchvision Compose"):
        model.save(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_tied_weights_and_infinite_masks_are_saved_and_broken_weights_are_not(
    tmp_path: Path,
) -> None:
    made = network()
    first, second = (made.heads[name].softmax_branch for name in made.exit_names[:2])
    second.bias = first.bias = nn.Parameter(torch.full_like(first.bias, 1 / 3))
    made.trunk.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    made.trunk.register_parameter("gain", nn.Parameter(torch.ones(1)))
    model = Model.of(made, CLASSES)
    model.save(tmp_path / "mine")
    assert load_file(tmp_path / "mine" / "weights.safetensors")["trunk.mask"].isinf().any()
    made.trunk.get_parameter("gain").data[0] = torch.inf
    with pytest.raises(UserError, match=r"'trunk\.gain' of the network to be finite"):
        model.save(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_model_that_is_saved_anew_while_it_is_loaded_is_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    old, new = (Model.of(network(seed=seed), CLASSES, title=f"{seed}") for seed in (0, 1))
    old.save(folder)
    read = storage.read_weights

    def read_later(path: Path, *rest: Any) -> dict[str, Tensor]:
        if load_card(folder / CARD).title == "0":
            new.save(folder)
        return read(path, *rest)

    monkeypatch.setattr(model, "read_weights", read_later)
    loaded = load(folder)
    assert loaded.card.title == "1"
    for name, tensor in new.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor), name


def test_nothing_half_made_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "mine")
    before = (tmp_path / "mine" / "card.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("core.hub.storage.save_tables", full)
        for name in ("mine", "new"):
            with pytest.raises(UserError, match="No space"):
                saved(tmp_path / name, calibration=Pictures())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "card.json").read_bytes() == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("important")
    with pytest.raises(UserError, match="holds other files: choose another name"):
        saved(tmp_path / "full")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": CLASSES[:9]}, "10 different names, .* but got 9, 9 of them different"),
        ({"classes": ("a",) * 10}, "but got 10, 1 of them different"),
        ({"dataset": "My Photos"}, "name of a data set"),
        (
            {"transform": transforms.Compose([transforms.Resize(20), transforms.ToTensor()])},
            r"which the network reads, but Compose yields float32 of shape \(1, 20, 20\)",
        ),
    ],
)
def test_what_does_not_fit_the_network_is_a_sentence(options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Model.of(network(), **({"classes": CLASSES, "transform": TRANSFORM} | options))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "it is empty"),
        ([(picture(0), 10)], "0 to 9"),
        ([(picture(0), 0.5)], "label"),
        ([picture(0)], "pairs of"),
        ([(torch.zeros(3, 28, 28), 0)], r"\(1, 28, 28\)|28, 28, 1"),
        ([("a.png", 0)], "str"),
    ],
)
def test_data_that_do_not_fit_are_a_sentence(items: list[Any], message: str) -> None:
    class Items(Pictures):
        def __len__(self) -> int:
            return len(items)

        def __getitem__(self, index: int) -> Any:
            return items[index]

    with pytest.raises(UserError, match=message):
        own().table(Items())


def test_a_table_of_another_network_is_refused(tmp_path: Path) -> None:
    other = Model.of(network(exits=("block1",)), CLASSES, TRANSFORM)
    with pytest.raises(UserError, match=r"a table of 3 exits .* but got 2 exits"):
        saved(tmp_path / "mine", calibration=other.table(Pictures()))


def test_a_module_of_torchvisions_is_made_again_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    attached = attach(torchvision_module("squeezenet1_1"), torch.zeros(1, 3, 64, 64), exits=2)
    made = Model.of(attached, tuple("abcde")).save("runs/photos/model")
    again = load("photos")
    assert again.name == "photos"
    assert again.card.spec.backbone == "torchvision-squeezenet1_1"
    np.testing.assert_array_equal(
        again.predict([picture(1)]).probabilities, made.predict([picture(1)]).probabilities
    )


FACTORY_FILE = """
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )

def broken():
    raise RuntimeError("no such file: weights.bin")

def nothing():
    return None
"""


def test_a_module_of_ones_own_is_made_again_by_a_factory_that_the_caller_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FACTORY, "")
    (tmp_path / "nets.py").write_text(FACTORY_FILE)
    scope: dict[str, Any] = {}
    exec(FACTORY_FILE, scope)
    torch.manual_seed(0)
    attached = attach(scope["make"](), torch.zeros(1, 1, 28, 28), exits=1)
    folder = tmp_path / "mine"
    made = Model.of(attached, CLASSES, TRANSFORM).save(folder)
    with pytest.raises(UserError, match="factory"):
        load(folder)
    again = load(folder, factory=scope["make"])
    np.testing.assert_array_equal(
        again.table([picture(1)]).probabilities, made.table([picture(1)]).probabilities
    )
    picture(3).save(tmp_path / "3.png")
    line = ["predict", str(folder), str(tmp_path / "3.png")]
    assert main(line) == 2
    assert "--factory" in capsys.readouterr().err
    for name, message in (("broken", "weights.bin"), ("nothing", "nn.Module"), ("mkae", "'make'")):
        assert main([*line, "--factory", f"{tmp_path / 'nets.py'}:{name}"]) == 2
        assert message in capsys.readouterr().err
    assert main([*line, "--factory", f"{tmp_path / 'nets.py'}:make"]) == 0
    assert load(folder).name == "mine"  # what the command line named is known from then on
