"""Exported bundles answer as the model does, without torch, and refuse what is not theirs."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from torchvision.models import VisionTransformer

import core
from core.data.samples import load_samples
from core.data.transform import EvaluationTransform
from core.deploy import benchmark, onnx_file, router
from core.deploy.bundle import RUN
from core.deploy.export import REPORT, export
from core.deploy.graphs import ALL_EXITS, NESTED_IF, open_graph
from core.exits.inference import Prediction
from core.exits.policy import Policy
from core.exits.routing import route
from core.foundation.errors import UserError
from core.hub.model import Model, load
from tests.core.networks.small import images_for, network, noise, torchvision_module

DIGITS = load_samples("mnist").images
NEAR = 1e-5  # of a threshold, where rounding decides

BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "core", "app", "onnx"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
"""


def without_torch(folder: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a bundle's folder, where neither torch nor this project can be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def command(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    words = [RUN, *map(str, arguments)]
    return without_torch(
        folder, f"import runpy; sys.argv = {words!r}; runpy.run_path({RUN!r}, run_name='__main__')"
    )


def same(got: Any, expected: Prediction, near: NDArray[np.bool_]) -> None:
    for name in ("labels", "exits", "costs"):
        differs = getattr(got, name) != getattr(expected, name)
        assert not (differs & ~near).any(), name
    gap = np.abs(got.probabilities - expected.probabilities).max(axis=1)
    assert gap[~near].max() < 1e-4


def near_a_threshold(model: Model, policy: Policy, images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    scores = route(model.table(images), policy).early_scores
    gaps = np.abs(scores - np.array(policy.thresholds))
    near: NDArray[np.bool_] = ((gaps < NEAR) & (gaps > 0) & np.array(policy.enabled)).any(axis=1)
    return near


def policy_of(model: Model, criterion: str, images: NDArray[np.uint8]) -> Policy:
    """A policy with temperatures by which images leave at several exits."""
    early = model.card.num_exits - 1
    temperatures = (1.5, 0.7, 2.0)[: early + 1]
    if criterion == "patience":
        return Policy(criterion, (0.5, 0.6), None, temperatures)
    scores = Policy(criterion, (0.5,) * early, None, temperatures).scores(model.table(images))
    return Policy(criterion, np.quantile(scores, 0.5, axis=0), None, temperatures)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "bundle"
    export(load("eenet8-mnist"), Policy("confidence", (0.99, 0.9)), folder, DIGITS)
    return folder


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def test_a_bundle_runs_without_torch_and_answers_as_the_model_on_a_thousand_images(
    bundle: Path, tmp_path: Path
) -> None:
    model, policy, images = load("eenet8-mnist"), Policy("confidence", (0.99, 0.9)), DIGITS[:1000]
    np.save(tmp_path / "images.npy", images)
    script = f"""
import pathlib, numpy as np, run
folder = pathlib.Path({str(tmp_path)!r})
router = run.open_bundle(pathlib.Path("."), threads=1)
images = np.load(folder / "images.npy")
for batch_size in (1, 64):
    np.savez(folder / f"{{batch_size}}.npz", **vars(router.predict(images, batch_size)))
"""
    done = without_torch(bundle, f"sys.path.insert(0, '.')\n{script}")
    assert done.returncode == 0, done.stderr
    expected = model.predict(images, policy)
    assert len(set(expected.exits)) == 3
    near = near_a_threshold(model, policy, images)
    for batch_size in (1, 64):
        with np.load(tmp_path / f"{batch_size}.npz") as got:
            same(Prediction(**got, seconds=0), expected, near)


@pytest.mark.parametrize(
    ("name", "criterion"),
    [
        *(("jeidnn8-mnist", name) for name in ("confidence", "max_probability", "entropy")),
        *(("jeidnn8-mnist", name) for name in ("margin", "patience", "exclusion", "gate")),
        ("exclusion8-mnist", "exclusion"),
    ],
)
def test_every_criterion_decides_as_in_the_library(
    name: str, criterion: str, tmp_path: Path
) -> None:
    model, images = load(name), DIGITS[:500]
    policy = policy_of(model, criterion, images)
    export(model, policy, tmp_path / "bundle", images)
    opened = router.open_bundle(tmp_path / "bundle", threads=1)
    expected = model.predict(images, policy)
    assert len(set(expected.exits)) > 1
    for batch_size in (1, 64):
        got = opened.predict(images, batch_size)
        same(got, expected, near_a_threshold(model, policy, images))


@pytest.mark.parametrize("name", ["eenet20-cifar10", "ptee-vgg11half-cifar10"])
def test_the_shipped_kinds_of_network_answer_the_same(name: str, tmp_path: Path) -> None:
    model = load(name)
    images = images_for(model.card)
    policy = model.card.default_policy
    manifest = export(model, policy, tmp_path / "bundle", images)
    assert len(manifest["stages"]) == sum(policy.enabled) + 1  # exits that are off are left out
    got = router.open_bundle(tmp_path / "bundle", threads=1).predict(images, 7)
    same(got, model.predict(images, policy), near_a_threshold(model, policy, images))


@pytest.mark.parametrize("kind", ["convolutions", "tokens"])
def test_an_attached_network_answers_the_same(kind: str, tmp_path: Path) -> None:
    size = 32
    own = (
        torchvision_module("mobilenet_v3_small")
        if kind == "convolutions"
        else VisionTransformer(size, 8, 3, 2, 16, 32, num_classes=5)
    )
    attached = core.attach(own, torch.zeros(1, 3, size, size), exits=2)
    model = Model.of(attached, list("abcde"))
    images = noise(20, size, 3)
    policy = policy_of(model, "max_probability", images)
    export(model, policy, tmp_path / "bundle", images)
    got = router.open_bundle(tmp_path / "bundle", threads=1).predict(images, 8)
    same(got, model.predict(images, policy), near_a_threshold(model, policy, images))


@pytest.mark.parametrize("criterion", ["confidence", "entropy", "patience", "exclusion", "gate"])
def test_the_network_in_one_file_answers_the_same(
    criterion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "FEWEST_IMAGES", 2)
    model, images = load("jeidnn8-mnist"), DIGITS[:100]
    policy = policy_of(model, criterion, images)
    manifest = export(model, policy, tmp_path, images, whole=True)
    table, expected = model.table(images), model.predict(images, policy)
    logits, confidence = open_graph(tmp_path / ALL_EXITS, 1).run(None, {"images": images})
    probabilities = torch.from_numpy(logits).softmax(2).numpy()
    np.testing.assert_allclose(probabilities, table.probabilities, atol=1e-5)
    np.testing.assert_allclose(confidence, table.confidence, atol=1e-5)
    nested = open_graph(tmp_path / NESTED_IF, 1)
    found = [nested.run(None, {"images": image[None]}) for image in images]
    got = Prediction(
        labels=np.array([y.argmax() for y, _ in found]),
        exits=np.array([left for _, left in found]),
        costs=expected.costs,
        probabilities=np.concatenate([y for y, _ in found]),
        seconds=0,
    )
    same(got, expected, near_a_threshold(model, policy, images))
    times = manifest["report"]["by_batch_size"]
    assert set(times["1"]) == {"plain network", "stages and router", ALL_EXITS, NESTED_IF}
    assert set(times["64"]) == set(times["1"]) - {NESTED_IF}
    assert {ALL_EXITS, NESTED_IF, REPORT} <= set(router.read_manifest(tmp_path)["files"])


def test_stages_behind_the_exit_do_not_run(bundle: Path) -> None:
    opened = router.open_bundle(bundle, threads=1)
    seen: list[list[int]] = [[] for _ in opened.stages]

    def counted(index: int) -> router.Stage:
        def run(features: Any) -> dict[str, Any]:
            seen[index].append(len(features))
            return opened.stages[index](features)

        return run

    stages = [counted(index) for index in range(len(opened.stages))]
    result = replace(opened, stages=stages).predict(DIGITS[:100], 50)
    inside = [(result.exits >= index).sum() for index in range(3)]
    assert [sum(batches) for batches in seen] == inside
    assert inside[2] < inside[1] < 100


def test_the_manifest_describes_everything(bundle: Path) -> None:
    card = load("eenet8-mnist").card
    manifest = router.read_manifest(bundle)
    assert set(manifest["files"]) == {path.name for path in bundle.iterdir()} - {router.MANIFEST}
    assert manifest["classes"] == list(card.classes)
    assert manifest["input"]["mean"] == list(card.mean)
    assert Policy.from_dict(manifest["policy"]) == Policy("confidence", (0.99, 0.9))
    first, second, last = manifest["stages"]
    assert first["inputs"] == {"images": ["batch", 28, 28, 1]}
    assert first["outputs"]["logits"] == ["batch", 10]
    assert first["outputs"]["confidence"] == ["batch"]
    assert first["outputs"]["next_features"] == second["inputs"]["features"]
    assert list(last["outputs"]) == ["logits"]
    assert [stage["threshold"] for stage in manifest["stages"]] == [0.99, 0.9, None]
    assert [stage["relative_cost"] for stage in manifest["stages"]] == list(card.costs.at_exits())


def test_the_command_of_a_bundle_answers_pictures_and_checks_itself(
    bundle: Path, tmp_path: Path
) -> None:
    model = load("eenet8-mnist")
    Image.fromarray(DIGITS[3, ..., 0]).save(tmp_path / "digit.png")
    done = command(bundle, "--check", "--json", tmp_path / "digit.png")
    assert done.returncode == 0, done.stderr
    checked, answer = done.stdout.splitlines()
    assert checked == "all 16 recorded answers and exits are the same"
    expected = model.predict(DIGITS[3:4], Policy("confidence", (0.99, 0.9)))
    got = json.loads(answer)
    assert (got["label"], got["exit_index"]) == (expected.labels[0], expected.exits[0])
    assert got["relative_cost"] == expected.costs[0]
    assert "left at block1" in command(bundle, tmp_path / "digit.png").stdout


@pytest.mark.parametrize(
    "transform",
    [
        EvaluationTransform.square(24, 3, (0,) * 3, (1,) * 3),
        EvaluationTransform.square(24, 1, (0,), (1,)),
        transforms.Compose(
            [transforms.Resize(30), transforms.CenterCrop(24), transforms.ToTensor()]
        ),
        transforms.Compose([transforms.Resize((24, 24)), transforms.ToTensor()]),
        transforms.Compose(
            [transforms.Grayscale(3), transforms.Resize(24, 3), transforms.ToTensor()]
        ),
    ],
)
@pytest.mark.parametrize("size", [(24, 24), (37, 61), (90, 25), (24, 31)])
def test_pictures_are_read_as_in_the_library(
    transform: Callable[[Image.Image], Tensor], size: tuple[int, int], tmp_path: Path
) -> None:
    own = isinstance(transform, EvaluationTransform)
    channels = transform.channels if isinstance(transform, EvaluationTransform) else 3
    stored = transform if own else EvaluationTransform.of(transform, (channels, 24, 24))
    assert isinstance(stored, EvaluationTransform)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    picture.save(tmp_path / "picture.png")
    got = router.read_picture(tmp_path / "picture.png", stored.model_dump(mode="json"))
    np.testing.assert_array_equal(got, stored.pixels(picture))


def refused(folder: Path, *arguments: object) -> str:
    done = command(folder, *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_damaged_bundle_is_refused_in_a_sentence(copy: Path) -> None:
    stage = copy / "stage-2.onnx"
    stage.write_bytes(stage.read_bytes()[:-1] + b"x")
    assert "SHA-256 differs" in refused(copy, "--check")
    stage.unlink()
    assert "missing" in refused(copy, "--check")
    (copy / router.MANIFEST).unlink()
    assert "export the model again" in refused(copy, "--check")


def test_a_stage_in_the_place_of_another_is_refused_even_with_its_checksum(copy: Path) -> None:
    shutil.copy(copy / "stage-1.onnx", copy / "stage-2.onnx")
    assert "SHA-256 differs" in refused(copy, "--check")
    manifest = json.loads((copy / router.MANIFEST).read_text())
    manifest["files"]["stage-2.onnx"] = manifest["files"]["stage-1.onnx"]
    (copy / router.MANIFEST).write_text(json.dumps(manifest))
    assert "another stage" in refused(copy, "--check")


def test_pictures_that_are_none_are_refused_in_a_sentence(copy: Path) -> None:
    (copy / "text.png").write_text("no picture")
    assert "to be a picture" in refused(copy, "text.png")
    assert "to be a picture" in refused(copy, "nowhere.png")


def test_images_of_another_shape_are_refused(bundle: Path) -> None:
    opened = router.open_bundle(bundle, threads=1)
    for wrong in (DIGITS[:2, :20], DIGITS[:2].astype(np.float32), DIGITS[:0]):
        with pytest.raises(router.BundleError, match="uint8 of shape"):
            opened.predict(wrong)


def test_what_cannot_be_exported_is_refused_and_leaves_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = load("branchy8-mnist"), tmp_path / "bundle"

    def refuses(model: Model, policy: Policy, sentence: str) -> None:
        with pytest.raises(UserError, match=sentence):
            export(model, policy, folder, DIGITS)
        assert not folder.exists()

    refuses(model, Policy("margin", (0.9,)), "expected 2 thresholds")
    refuses(model, Policy("confidence", (0.9, 0.9)), "belongs to another model")
    own = Model.of(network(), list("abcdefghij"), lambda picture: torch.zeros(1, 28, 28))
    refuses(own, Policy("margin", (0.9, 0.9)), "cannot be stored")

    class Fourier(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return torch.fft.fft(features).real

    strange = network()
    strange.trunk.blocks[-1] = nn.Sequential(strange.trunk.blocks[-1], Fourier())
    own = Model.of(strange, list("abcdefghij"))
    refuses(own, Policy("margin", (0.9, 0.9)), "aten::fft_fft")
    monkeypatch.setitem(onnx_file.EXTRA, "onnx", ("onnx", "no_such_package"))
    refuses(model, Policy("margin", (0.9, 0.9)), "pip install no_such_package")


def test_a_criterion_of_a_plugin_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(router.SCORES, "margin")
    with pytest.raises(UserError, match="bundle can compute"):
        export(load("branchy8-mnist"), Policy("margin", (0.9, 0.9)), tmp_path / "bundle", DIGITS)


def test_other_files_are_not_overwritten_but_a_bundle_is(copy: Path, tmp_path: Path) -> None:
    model, policy = load("branchy8-mnist"), Policy("margin", (0.9, 0.9))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="holds other files"):
        export(model, policy, tmp_path / "mine", DIGITS)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"
    export(model, policy, copy, DIGITS)
    assert router.read_manifest(copy)["model"]["name"] == "branchy8-mnist"


def test_int8_thresholds_are_tuned_on_its_own_table_and_its_figures_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "FEWEST_IMAGES", 2)
    model, digits = load("jeidnn8-mnist"), load_samples("mnist")
    calibration, reported = digits.select(np.arange(1000)), digits.select(np.arange(1000, 1500))
    policy = Policy("margin", (0.99, 0.9))
    manifest = export(model, policy, tmp_path, digits.images, int8=(calibration, reported))
    report, folder = manifest["report"]["int8"], tmp_path / "int8"
    assert (report["split"], report["images"]) == ("samples", 500)
    assert set(report["milliseconds_per_image"]["64"]) == {"float32", "int8"}

    opened = router.open_bundle(folder, threads=1)
    assert opened.manifest["precision"] == "int8"
    tuned = Policy.from_dict(opened.manifest["policy"])
    assert (tuned.criterion, tuned.thresholds) != (policy.criterion, policy.thresholds)
    assert [stage["threshold"] for stage in opened.manifest["stages"][:-1]] == [
        threshold for threshold, on in zip(tuned.thresholds, tuned.enabled, strict=True) if on
    ]
    assert router.check(opened, folder)
    budget = model.predict(calibration.images, policy).costs.mean()
    assert opened.predict(calibration.images).costs.mean() <= budget + 1e-6

    got, floats = opened.predict(reported.images), model.predict(reported.images, policy)
    for name, answers in (("int8", got), ("float32", floats)):
        figures = report[name]
        assert figures["accuracy"] == pytest.approx((answers.labels == reported.labels).mean())
        assert figures["relative_cost"] == pytest.approx(answers.costs.mean())
        assert figures["exits_changed"] == pytest.approx((answers.exits != floats.exits).mean())
    assert report["int8"]["accuracy"] > report["float32"]["accuracy"] - 0.02


def test_int8_is_quantised_again_without_exits_that_tuning_switches_off(tmp_path: Path) -> None:
    model, digits = load("eenet8-mnist"), load_samples("mnist")
    some = digits.select(np.arange(300))
    policy = Policy("patience", (0.1, 0.6))  # all leave at the first exit: none is as cheap
    manifest = export(model, policy, tmp_path / "a", digits.images, int8=(some, some))
    assert len(manifest["stages"]) == 3
    quantised = router.open_bundle(tmp_path / "a" / "int8", threads=1)
    assert len(quantised.stages) == 2
    assert quantised.manifest["policy"]["enabled"] == [True, False]
    assert (quantised.predict(some.images).exits == 0).all()
    never = Policy.never("margin", 3)
    with pytest.raises(UserError, match="all are off"):
        export(model, never, tmp_path / "b", digits.images, int8=(some, some))
    assert not (tmp_path / "b").exists()
