import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from core.data.prepared import ImageSet
from core.foundation.errors import UserError
from core.hub.model import load, trained
from core.networks.build import build
from core.networks.network import ExitNetwork
from core.networks.spec import NetworkSpec
from core.networks.weights import fill, read_weights
from core.training.loop import Trainer
from core.training.start_from import start_from
from tests.core.networks.small import torchvision_module
from tests.core.training.tiny import bars, tiny_recipe

SPEC = NetworkSpec(
    backbone="torchvision-resnet18",
    exits=("layer1",),
    num_classes=5,
    in_channels=3,
    image_size=64,
)
LAST_OF_DENSENET = "trunk.blocks.features.features.denseblock4.denselayer16.conv2.weight"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return torchvision_module("resnet18").eval()


@pytest.fixture(scope="module")
def shapes() -> ExitNetwork:
    """A network whose weights take no memory: enough to be told what does not fit."""
    with torch.device("meta"):
        return build(SPEC)


def hollow(name: str = "resnet18", num_classes: int = 5) -> State:
    """A state dict whose tensors have their shapes and next to no content."""
    with torch.device("meta"):
        made = torchvision.models.get_model(name, num_classes=num_classes)
    return {key: torch.zeros(()).expand(tensor.shape) for key, tensor in made.state_dict().items()}


def without_counters(state: State) -> State:
    return {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}


WAYS: dict[str, Callable[[State], Any]] = {
    "a state dict": lambda state: state,
    "beside other things": lambda state: {"model": state, "epoch": 3},
    "of DataParallel": lambda state: {f"module.{name}": t for name, t in state.items()},
    "of Lightning": lambda state: {"state_dict": {f"model.{n}": t for n, t in state.items()}},
    "without counters": without_counters,
    "in many wrappers": lambda s: {
        "epoch": np.float64(3),
        "args": argparse.Namespace(lr=0.1),
        "model_ema": {f"module._orig_mod.module.backbone.{n}": t for n, t in s.items()},
    },
    "of an averaged model": lambda s: (
        {"n_averaged": torch.tensor(4)} | {f"module.{n}": t for n, t in s.items()}
    ),
    "compiled in parts": lambda s: {n.replace(".0.", ".0._orig_mod."): t for n, t in s.items()},
    "beside a number": lambda s: s | {"epoch": 3},
}


@pytest.mark.parametrize("way", WAYS)
@torch.no_grad()
def test_a_torchvision_checkpoint_answers_as_its_module(
    way: str, module: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "mine.pth"
    torch.save(WAYS[way](module.state_dict()), path)
    network = build(SPEC).eval()
    early = {n: t.clone() for n, t in network.heads["layer1"].state_dict().items()}
    assert start_from(network, SPEC, str(path)) is None
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network(images).logits[:, -1], module(images))
    after = network.heads["layer1"].state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in early.items())


def test_safetensors_with_either_names(module: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(module.state_dict(), path)
    first = build(SPEC)
    start_from(first, SPEC, str(path))
    classifier = first.state_dict()["heads.final.module.fc.weight"]
    assert torch.equal(classifier, module.state_dict()["fc.weight"])
    save_file(first.state_dict(), path)
    elsewhere = SPEC.model_copy(update={"exits": ("layer2.0",)})
    second = build(elsewhere)
    start_from(second, elsewhere, str(path))
    ours, theirs = first.state_dict(), second.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if "heads.layer" not in name)


def test_a_shipped_model_brings_its_normalisation() -> None:
    model = load("resnet8-mnist")
    spec = model.card.spec.model_copy(update={"exits": ("block1",)})
    network = build(spec)
    known = start_from(network, spec, "resnet8-mnist", trained)
    assert known is not None
    assert (known.mean, known.std) == (model.card.mean, model.card.std)
    theirs = model.network.state_dict()
    assert all(torch.equal(network.state_dict()[name], theirs[name]) for name in theirs)


def test_a_training_run_starts_from_a_file(tmp_path: Path) -> None:
    content = {**SPEC.model_dump(), "num_classes": 2, "image_size": 8}
    module = torchvision_module("resnet18", 2)
    module.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    torch.save(module.state_dict(), tmp_path / "mine.pt")
    recipe = tiny_recipe(network=content | {"in_channels": 1}, start_from=str(tmp_path / "mine.pt"))
    trainer = Trainer.of_recipe(recipe, bars(16, 0), bars(16, 1), torch.device("cpu"), find=trained)
    stem = trainer.network.state_dict()["trunk.blocks.maxpool.conv1.weight"]
    assert torch.equal(stem, module.conv1.weight)
    module.fc = nn.Linear(512, 7)
    torch.save(module.state_dict(), tmp_path / "mine.pt")
    with pytest.raises(UserError, match=r"2 classes apart, but it tells 7 .*new_classifier"):
        Trainer.of_recipe(recipe, bars(16, 0), bars(16, 1), torch.device("cpu"))
    recipe = recipe.model_copy(update={"new_classifier": True})
    trainer = Trainer.of_recipe(recipe, bars(16, 0), bars(16, 1), torch.device("cpu"))
    assert torch.equal(
        trainer.network.state_dict()["trunk.blocks.maxpool.conv1.weight"], module.conv1.weight
    )


def test_images_are_normalised_as_the_network_to_begin_with_knows_them(tmp_path: Path) -> None:
    images = bars(16, 0)

    def means(images: ImageSet = images, **changes: Any) -> tuple[float, ...]:
        recipe = tiny_recipe(**changes)
        normalise = Trainer.of_recipe(
            recipe, images, images, torch.device("cpu"), find=trained
        ).normalise
        return normalise.mean + normalise.std

    plain = load("resnet8-mnist")
    small = {**plain.card.spec.model_dump(), "exits": ("block1",), "image_size": 8}
    begun = {"network": small | {"num_classes": 10}, "start_from": "resnet8-mnist"}
    ten = replace(images, classes=tuple("0123456789"))
    assert means(ten, **begun) == (*plain.card.mean, *plain.card.std) != means()
    assert means(mean=[0.25], std=[0.75]) == (0.25, 0.75)


def test_old_densenet_names_are_known(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"backbone": "torchvision-densenet121", "exits": ()})
    old = {}
    for name, tensor in hollow("densenet121").items():
        for layer in ("norm1", "conv1", "norm2", "conv2"):
            if "denselayer" in name:
                name = name.replace(f".{layer}.", f".{layer[:-1]}.{layer[-1]}.")
        old[name] = tensor
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    network = build(spec)
    start_from(network, spec, str(tmp_path / "old.pth"))
    assert not network.state_dict()[LAST_OF_DENSENET].any()


Download = Callable[..., State]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[[Download], None]:
    """Puts a function in the place of torchvision's server."""

    def serve(download: Download) -> None:
        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)

    return serve


def imagenet() -> tuple[ExitNetwork, NetworkSpec]:
    spec = SPEC.model_copy(update={"num_classes": 1000})
    return build(spec), spec


@pytest.mark.parametrize("choice", ["DEFAULT", "IMAGENET1K_V1"])
def test_torchvisions_weights_bring_their_normalisation(
    choice: str, served: Callable[[Download], None]
) -> None:
    requests = []

    def download(url: str, *, weights_only: bool, **others: object) -> State:
        requests.append((url, weights_only))
        return hollow("resnet18", 1000)

    served(download)
    known = start_from(*imagenet(), f"torchvision:{choice}")
    assert known is not None
    assert (known.mean, known.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    ((url, nothing_else),) = requests
    assert "resnet18" in url
    assert nothing_else


@pytest.mark.parametrize(
    "reason", [URLError("Name or service not known"), RuntimeError("invalid hash value")]
)
def test_a_failed_download_is_one_sentence(
    reason: Exception, served: Callable[[Download], None]
) -> None:
    def download(url: str, **others: object) -> State:
        raise reason

    served(download)
    with pytest.raises(UserError, match=r"resnet18-.*\.pth cannot be downloaded .*fetch the file"):
        start_from(*imagenet(), "torchvision:DEFAULT")


def test_torchvisions_thousand_classes_do_not_fit_ten(
    shapes: ExitNetwork, served: Callable[[Download], None]
) -> None:
    served(lambda url, **others: hollow("resnet18", 1000))
    with pytest.raises(UserError, match=r"tell 5 classes apart.*it tells 1000 \(fc\.weight\)"):
        start_from(shapes, SPEC, "torchvision:DEFAULT")


def without(state: State, *names: str) -> State:
    return {name: tensor for name, tensor in state.items() if name not in names}


WRONG: dict[str, tuple[Callable[[State], Any], str]] = {
    "lacks": (
        lambda s: without(s, "layer1.0.conv1.weight", "fc.bias"),
        r"lacks layer1\.0\.conv1\.weight, fc\.bias: name the network",
    ),
    "has": (lambda s: s | {"fc2.bias": torch.zeros(3)}, r"has fc2\.bias, which fit nowhere"),
    "another backbone": (
        lambda s: hollow("densenet121"),
        r"lacks conv1\.weight, (\S+, ){3}\S+ and \d+ more and has features\.conv0\.weight",
    ),
    "another shape": (
        lambda s: s | {"conv1.weight": torch.zeros(64, 3, 3, 3)},
        r"conv1\.weight of shape \(64, 3, 3, 3\) instead of \(64, 3, 7, 7\): name the network",
    ),
    "other classes": (lambda s: hollow("resnet18", 7), r"5 classes apart.*tells 7 \(fc\.weight\)"),
    "not a number": (
        lambda s: s | {"bn1.weight": torch.full((64,), torch.nan)},
        r"'bn1\.weight' .* finite",
    ),
    "a whole module": (
        lambda s: nn.Linear(2, 2),
        "could run foreign code and are not read: save it anew",
    ),
    "a list": (lambda s: [1, 2], "state dict, .*, but got list: save it anew"),
    "nothing": (lambda s: {"epoch": 3}, "state dict, .*, but got dict"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_weights_that_do_not_fit_are_refused(
    wrong: str, shapes: ExitNetwork, tmp_path: Path
) -> None:
    change, message = WRONG[wrong]
    path = tmp_path / "mine.pth"
    torch.save(change(hollow()), path)
    with pytest.raises(UserError, match=message):
        start_from(shapes, SPEC, str(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.pth", b"no weights", "damaged"),
        ("mine.safetensors", b"no weights", "damaged"),
        ("mine.pt", None, "there is no file"),
        ("mine.bin", b"some", r"a \.safetensors, \.pth, \.pt, \.ckpt file, but got"),
    ],
)
def test_files_that_cannot_be_read_are_refused(
    name: str, content: bytes | None, message: str, shapes: ExitNetwork, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        start_from(shapes, SPEC, str(path))


@pytest.mark.parametrize(
    ("source", "backbone", "message"),
    [
        ("torchvision:IMAGENET", "torchvision-resnet18", "Did you mean 'IMAGENET1K_V1'"),
        ("torchvision:DEFAULT", "resnet18", 'write for example backbone = "torchvision-resnet18"'),
        ("resnet20-cifar", "torchvision-resnet18", "Did you mean 'resnet20-cifar10'"),
        ("resnet20-cifar10", "torchvision-resnet18", "resnet20-cifar10 .* lacks .* fit nowhere"),
    ],
)
def test_sources_that_do_not_fit_are_refused(
    source: str, backbone: str, message: str, shapes: ExitNetwork
) -> None:
    with pytest.raises(UserError, match=message):
        start_from(shapes, SPEC.model_copy(update={"backbone": backbone}), source, trained)


def test_a_registered_backbone_reads_its_own_names(tmp_path: Path) -> None:
    torch.save(hollow(), tmp_path / "mine.pth")
    spec = SPEC.model_copy(update={"backbone": "resnet20", "exits": ()})
    with pytest.raises(UserError, match=r"backbone resnet20 .*lacks trunk\.blocks.*has conv1\."):
        start_from(build(spec), spec, str(tmp_path / "mine.pth"))


def test_a_classifier_of_other_classes_is_left_fresh_where_that_is_meant(tmp_path: Path) -> None:
    torch.save(hollow("resnet18", 7), tmp_path / "mine.pth")
    network = build(SPEC)
    fresh = network.state_dict()["heads.final.module.fc.weight"].clone()
    start_from(network, SPEC, str(tmp_path / "mine.pth"), new_classifier=True)
    assert not network.state_dict()["trunk.blocks.layer4.layer4.1.conv2.weight"].any()
    assert torch.equal(network.state_dict()["heads.final.module.fc.weight"], fresh)


def test_a_module_takes_weights_before_it_is_cut(module: nn.Module, tmp_path: Path) -> None:
    torch.save({"model": module.state_dict()}, tmp_path / "mine.ckpt")
    other = torchvision_module("resnet18", seed=1)
    weights = read_weights(tmp_path / "mine.ckpt")
    fill(other, weights, "mine")
    assert torch.equal(other.fc.weight, module.fc.weight)
    with pytest.raises(UserError, match="the weights of Linear and its classifier, but it lacks"):
        fill(nn.Linear(2, 2), weights, "mine")


def test_what_exits_have_learned_comes_along_where_the_same_heads_stand() -> None:
    theirs = load("eenet8-mnist")
    spec = theirs.card.spec.model_copy(update={"confidence_input": "features"})
    made = build(spec)
    start_from(made, spec, "eenet8-mnist", trained)
    ours, known = made.state_dict(), theirs.network.state_dict()
    for name, tensor in ours.items():
        same = tensor.shape == known[name].shape
        assert same == (".confidence_branch.weight" not in name)
        if same:
            assert torch.equal(tensor, known[name]), name
