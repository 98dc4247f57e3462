"""Training from Python, on data sets and loaders of one's own."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset
from torchvision.transforms import v2

import core
from core.data.prepared import ImageSet
from core.data.transform import EvaluationTransform
from core.foundation.errors import UserError
from core.networks.build import build
from core.networks.network import ExitNetwork
from core.networks.spec import NetworkSpec
from core.training.progress import EpochReport
from tests.core.training.tiny import same_weights

SPEC = NetworkSpec(
    backbone="eenet8",
    exits=("block1", "block2"),
    head="conv1",
    num_classes=3,
    in_channels=3,
    image_size=32,
)
QUICK: dict[str, Any] = {"workers": 0, "batch_size": 16, "precision": "float32"}


def coloured(count: int, seed: int, classes: int = 3) -> ImageSet:
    """Noise in which one channel is brighter: its number is the class."""
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=count)
    images = random.integers(0, 160, (count, 32, 32, 3))
    images[np.arange(count), :, :, labels] += 60
    names = tuple("rgb"[:classes])
    return ImageSet.counted("coloured", "train", images.astype(np.uint8), labels, names)


TRAIN, CALIBRATION = coloured(160, 0), coloured(64, 1)


class Items(Dataset[tuple[Any, Any]]):
    """The images of a set one by one, as `kind` makes them."""

    def __init__(self, images: ImageSet, kind: Callable[[NDArray[np.uint8]], Any]) -> None:
        self.images, self.kind = images, kind

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.kind(self.images.images[index]), int(self.images.labels[index])


def as_bytes(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def as_floats(image: NDArray[np.uint8]) -> Tensor:
    return (as_bytes(image) / 255 - 0.45) / 0.2


KINDS: dict[str, Callable[[NDArray[np.uint8]], Any]] = {
    "arrays": lambda image: image,
    "tensors": as_bytes,
    "pictures": Image.fromarray,
}


def fresh(**changes: Any) -> ExitNetwork:
    torch.manual_seed(0)
    return build(SPEC.model_copy(update=changes))


@pytest.fixture(scope="module")
def knowing() -> ExitNetwork:
    """A network that tells the colours apart at its end."""
    phases = [{"epochs": 6, "learning_rate": 3e-3, "exit_weights": [0, 0, 1]}]
    return core.fit(fresh(), TRAIN, CALIBRATION, "joint", phases=phases, **QUICK)


def accuracies(network: ExitNetwork) -> tuple[float, ...]:
    result = network.training_result
    return result.history[result.best_epoch - 1].accuracy  # type: ignore[no-any-return]


def test_exits_learn_on_a_network_that_stays_as_it_is(knowing: ExitNetwork) -> None:
    before = {name: tensor.clone() for name, tensor in knowing.state_dict().items()}
    reports: list[EpochReport] = []
    made = core.fit(
        knowing, TRAIN, CALIBRATION, epochs=10, learning_rate=0.02, on_epoch=reports.append, **QUICK
    )
    assert not made.training
    assert min(accuracies(made)) > 0.8
    assert [report.epoch for report in reports] == list(range(1, 11))
    for name, tensor in made.state_dict().items():
        assert torch.equal(knowing.state_dict()[name], before[name])  # a copy was trained
        early = name.startswith(("heads.block1.", "heads.block2."))
        assert early or torch.equal(tensor, before[name]), name
    result = made.training_result
    assert result.settings.phases[-1].trains == "confidence"
    assert (len(result.history), result.best_epoch > 8) == (10, True)


def test_a_network_learns_with_its_exits() -> None:
    loaders = (
        DataLoader(Items(one, as_floats), 16, shuffle=shuffle)
        for one, shuffle in ((TRAIN, True), (CALIBRATION, False))
    )
    made = core.fit(fresh(), *loaders, "joint", epochs=8, learning_rate=3e-3, **QUICK)
    assert min(accuracies(made)) > 0.8
    assert made.training_result.transform is None


def test_a_network_moves_to_other_classes(knowing: ExitNetwork) -> None:
    two = coloured(120, 2, classes=2), coloured(60, 3, classes=2)
    network = fresh(num_classes=2)
    trunk = {name: t for name, t in knowing.state_dict().items() if name.startswith("trunk.")}
    network.load_state_dict(network.state_dict() | trunk)
    made = core.fit(network, *two, "fine-tune", epochs=8, learning_rate=0.01, **QUICK)
    assert min(accuracies(made)) > 0.8


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_data_set_teaches_what_its_images_in_memory_teach(
    kind: Callable[[NDArray[np.uint8]], Any],
) -> None:
    options = QUICK | {"epochs": 2, "mean": (0.4,) * 3, "std": (0.2,) * 3, "flip": True}
    options |= {"crop_pad": 2, "phases": [{"epochs": 2, "learning_rate": 0.01}], "workers": 1}
    expected = core.fit(fresh(), TRAIN, CALIBRATION, "joint", **options)
    data = Items(TRAIN, kind), Items(CALIBRATION, kind)
    made = core.fit(fresh(), *data, "joint", **options)
    same_weights(made, expected)
    assert made.training_result.transform == EvaluationTransform.square(32, 3, [0.4] * 3, [0.2] * 3)


def loader(images: ImageSet) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(3)
    return DataLoader(Items(images, as_floats), 16, shuffle=True, generator=generator)


SOURCES: dict[str, Callable[[ImageSet], Any]] = {
    "data set": lambda images: Items(images, as_bytes),
    "loader": lambda images: DataLoader(Items(images, as_floats), 16, shuffle=True),
    "loader with its own generator": loader,
    "in memory": lambda images: images,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_resumed_training_equals_a_straight_one_to_the_bit(
    tmp_path: Path, source: Callable[[ImageSet], Any]
) -> None:
    options = QUICK | {"epochs": 3, "flip": True, "crop_pad": 1}
    straight = core.fit(fresh(), source(TRAIN), source(CALIBRATION), "joint", **options)

    def power_cut(report: EpochReport) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            core.fit(
                fresh(), source(TRAIN), source(CALIBRATION), "joint",
                out=tmp_path, resume=any(tmp_path.iterdir()), on_epoch=power_cut, **options,
            )  # fmt: skip
    data = source(TRAIN), source(CALIBRATION)
    resumed = core.fit(fresh(), *data, "joint", out=tmp_path, resume=True, **options)
    same_weights(resumed, straight)
    with pytest.raises(UserError, match="exists: add --resume"):
        core.fit(fresh(), *data, "joint", out=tmp_path, **options)
    with pytest.raises(UserError, match=r"another recipe .*seed"):
        core.fit(fresh(), *data, "joint", out=tmp_path, resume=True, seed=5, **options)


def test_pictures_of_any_size_are_read_by_the_transform_that_is_given() -> None:
    transform = v2.Compose(
        [
            v2.Resize(36), v2.CenterCrop(32), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.4] * 3, [0.2] * 3),
        ]
    )  # fmt: skip
    large = [
        Items(one, lambda image: Image.fromarray(image).resize((50, 40)))
        for one in (TRAIN, CALIBRATION)
    ]
    phases = [{"epochs": 1, "learning_rate": 0.01}]
    made = core.fit(fresh(), *large, "joint", transform=transform, phases=phases, **QUICK)
    ready = [Items(one.images, lambda i, one=one: transform(one.kind(i))) for one in large]
    expected = core.fit(fresh(), *ready, "joint", phases=phases, **QUICK)
    same_weights(made, expected)
    again = core.fit(made, *large, "joint", phases=phases, **QUICK)
    assert again.training_result.transform == EvaluationTransform.of(transform, (3, 32, 32))


def test_a_network_without_confidences_learns_to_answer_alone(knowing: ExitNetwork) -> None:
    network = fresh(confidence=False)
    network.load_state_dict({n: t for n, t in knowing.state_dict().items() if "confid" not in n})
    made = core.fit(network, TRAIN, CALIBRATION, epochs=2, **QUICK)
    assert [phase.trains for phase in made.training_result.settings.phases] == ["exits"]


def test_a_network_that_knows_nothing_is_not_frozen(knowing: ExitNetwork) -> None:
    with pytest.raises(UserError, match=r"final exit is right on \d+ of 160, .* 3 classes: check"):
        core.fit(fresh(), TRAIN, CALIBRATION, **QUICK)
    mixed = ImageSet.counted("mixed", "train", TRAIN.images, (TRAIN.labels + 1) % 3, TRAIN.classes)
    with pytest.raises(UserError, match="in the order of the network's outputs"):
        core.fit(knowing, mixed, CALIBRATION, **QUICK)


def test_fields_change_a_preset(knowing: ExitNetwork) -> None:
    changes = {"epochs": 6, "learning_rate": 0.02, "lambda_cost": 0.3, "seed": 7}
    made = core.fit(knowing, TRAIN, CALIBRATION, **QUICK, **changes)
    settings = made.training_result.settings
    assert settings.seed == 7
    assert [phase.epochs for phase in settings.phases] == [4, 2]
    assert {phase.learning_rate for phase in settings.phases} == {0.02}
    assert {phase.lambda_cost for phase in settings.phases} == {0.3}


class Endless(IterableDataset[tuple[Tensor, int]]):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        yield torch.zeros(3, 32, 32), 0


def changed(index: int, change: Callable[[Tensor], Any], label: Any = None) -> Items:
    """The training images as floats, but for one."""

    class Changed(Items):
        def __getitem__(self, at: int) -> tuple[Any, Any]:
            image, known = super().__getitem__(at)
            if at != index:
                return image, known
            return change(image), known if label is None else label

    return Changed(TRAIN, as_floats)


def same(image: Tensor) -> Tensor:
    return image


def poisoned(image: Tensor) -> Tensor:
    return image.masked_fill(image > 1, torch.nan)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(9, lambda image: image[:, :30]), r"image 9 of `train` to have the shape \(3, 32"),
        (changed(9, lambda image: image[:1]), r"image 9 of `train` .* but got \(1, 32, 32\)"),
        (changed(9, poisoned), "image 9 of `train` to be finite, but it has NaN"),
        (changed(9, same, label=3), "label of image 9 of `train` .* from 0 to 2, .* but got 3"),
        (changed(9, same, label=-1), "label of image 9 .* but got -1"),
        (changed(9, same, label="red"), "label of image 9 .* but got 'red'"),
        (changed(9, lambda image: "x.png"), "image 9 of `train` to be a picture .* but got str"),
        (changed(9, lambda image: image.to(torch.uint8)), "some are bytes and some are normalised"),
        (Items(coloured(0, 0), as_floats), "`train` to hold images, but it is empty"),
        (Endless(), "`train` to have a length, but Endless has none"),
        ([1, 2], "`train` to be a torch Dataset or DataLoader .* but got list"),
        (coloured(40, 0, classes=2), "3 channels and 3 classes as the network says, but got"),
        (Items(TRAIN, as_bytes), "of one kind, but got uint8 and float32"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_data_that_do_not_fit_are_a_sentence(data: Any, message: str, workers: int) -> None:
    options = QUICK | {"workers": workers, "batch_size": 160}
    with pytest.raises(UserError, match=message):
        core.fit(fresh(), data, Items(CALIBRATION, as_floats), "joint", epochs=2, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learnin_rate": 1}, r"got `learnin_rate`\. Did you mean 'learning_rate'"),
        ({"recipe": "frozen-exit"}, "Did you mean 'frozen-exits'"),
        ({"epochs": 1}, "`epochs` to be 2 or more, one for each phase, but got 1"),
        ({"learning_rate": 0}, "`learning_rate` to be a number above 0"),
        ({"loss": "v1"}, "expected `phases` instead of `loss`"),
        ({"batch_size": 0}, "not valid at `batch_size`"),
        (
            {"phases": [{"epochs": 1, "learning_rate": 1, "loss": "v9"}]},
            "exits is not valid at `loss`",
        ),
        ({"mean": [0.5], "std": [0.5]}, "have 3 numbers, one for each channel"),
        ({"device": "tpu"}, "to be cpu or cuda"),
        ({"resume": True}, "expected `out` with `resume`"),
    ],
)
def test_settings_that_are_none_are_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        core.fit(fresh(), TRAIN, CALIBRATION, **({"workers": 0} | options))


def test_what_only_images_in_memory_can_do_says_so() -> None:
    phases = [{"epochs": 1, "learning_rate": 0.1, "loss": "v4"}]
    data = Items(TRAIN, as_floats), Items(CALIBRATION, as_floats)
    with pytest.raises(UserError, match="v4 compares all training images"):
        core.fit(fresh(), *data, "joint", phases=phases, **QUICK)
    with pytest.raises(UserError, match="a network with early exits, as frozen-exits trains"):
        core.fit(fresh(exits=()), *data, **QUICK)


def test_without_calibration_images_some_are_held_out_and_nothing_learns_from_them() -> None:
    training, calibration = core.hold_out(TRAIN)
    options: dict[str, Any] = {"epochs": 2, "mean": (0.4,) * 3, "std": (0.2,) * 3, **QUICK}
    found = core.fit(fresh(), TRAIN, recipe="joint", **options)
    same_weights(found, core.fit(fresh(), training, calibration, "joint", **options))
    spoiled = TRAIN.images.copy()
    spoiled[calibration.ids] = 0
    other = core.fit(fresh(), replace(TRAIN, images=spoiled), recipe="joint", **options)
    for one, two in zip(found.training_result.history, other.training_result.history, strict=True):
        assert one.loss == two.loss
        assert one.accuracy != two.accuracy


def test_calibration_images_that_are_training_images_are_refused() -> None:
    pictures = Items(TRAIN, as_bytes)
    for train, calibration in (
        (TRAIN, TRAIN.select(range(20))),
        (pictures, pictures),
        (DataLoader(pictures), Subset(pictures, range(5, 10))),
        (Subset(pictures, range(6)), Subset(pictures, range(5, 10))),
    ):
        with pytest.raises(UserError, match=r"disjoint|some are in both"):
            core.fit(fresh(), train, calibration, "joint", epochs=1, **QUICK)
