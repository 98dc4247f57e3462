import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from core.data.encoded import at_size
from core.data.samples import load_sample_pictures, load_samples
from core.data.splits import load_split
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import route
from core.foundation.errors import UserError
from core.hub.model import Model, load
from core.hub.publish import round_weights
from core.hub.registry import card_of, shipped_models, shipped_table
from core.hub.storage import sha256
from core.networks.cost import count
from core.networks.network import ExitNetwork
from tests.core.networks.small import network, noise


def tiny(made: ExitNetwork) -> Model:
    return Model.of(made, tuple("0123456789"), name="tiny", dataset="mnist")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tiny(network(head="plain"))
    table = model.table(noise(20), labels=np.arange(20) % 10)
    model.save(tmp_path / "tiny", table, table)
    return tmp_path / "tiny"


def test_a_saved_model_answers_as_before(folder: Path) -> None:
    model = load(folder)
    images = noise(20)
    np.testing.assert_allclose(
        model.table(images).probabilities,
        model.shipped_table("test").probabilities,
        atol=2e-5,
    )
    assert model.card.num_exits == 3


def test_weights_are_stored_in_half_precision_where_that_loses_nothing(tmp_path: Path) -> None:
    made = network(head="plain")
    round_weights(made)
    with torch.no_grad():
        made.heads["final"].softmax_branch.weight[0, 0] = 1 / 3  # type: ignore[index, union-attr]
    tiny(made).save(tmp_path)
    stored = load_file(tmp_path / "weights.safetensors")
    ours = made.state_dict()
    assert {str(stored[name].dtype) for name in stored} == {
        "torch.float16",
        "torch.float32",
        "torch.int64",
    }
    assert stored["heads.final.softmax_branch.weight"].dtype == torch.float32
    loaded = load(tmp_path).network.state_dict()
    for name, tensor in ours.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_batch_size_does_not_change_answers(folder: Path) -> None:
    model, images = load(folder), noise(20)
    policy = Policy("max_probability", (0.9, 0.8))
    one, all_ = model.predict(images, policy, 1), model.predict(images, policy, 256)
    np.testing.assert_array_equal(one.labels, all_.labels)
    np.testing.assert_array_equal(one.exits, all_.exits)


def test_pictures_of_any_size_are_fitted(folder: Path) -> None:
    model = load(folder)
    pictures = [Image.new("RGB", (100, 40), "red"), Image.new("L", (1, 1))]
    assert len(model.predict(pictures)) == 2


@pytest.mark.parametrize("images", [np.zeros((2, 5, 5, 1), np.uint8), np.zeros((2, 28, 28, 1))])
def test_arrays_of_another_shape_or_type_are_refused(folder: Path, images: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"uint8 of shape \(N, 28, 28, 1\)"):
        load(folder).predict(images)


def test_no_images_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="at least one image"):
        load(folder).predict([])


def test_an_unknown_model_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"but got 'eenet8-mnits'\. Did you mean 'eenet8-mnist'"):
        load("eenet8-mnits")


def truncate(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def scramble(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"\x80\x04 not safetensors at all" * 50)


def remove(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = folder / "weights.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"sha256": sha256(path)}))


def swap(folder: Path) -> None:
    path = folder / "weights.safetensors"
    weights = load_file(path)
    weights["heads.final.softmax_branch.bias"] += 1
    save_file(weights, path)


def lose_tensor(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights["heads.block1.softmax_branch.bias"]

    change_weights(folder, change)


def reshape_tensor(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["heads.block1.softmax_branch.bias"] = torch.zeros(11)

    change_weights(folder, change)


def poison_tensor(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["heads.block1.softmax_branch.bias"][0] = torch.nan

    change_weights(folder, change)


def card_field(name: str, value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps(card | {name: value}))

    return change


def tear_card(folder: Path) -> None:
    path = folder / "card.json"
    path.write_text(path.read_text()[:200])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"weights\.safetensors are damaged"),
        (scramble, r"weights\.safetensors are damaged or not safetensors"),
        (remove, r"weights of tiny at .*weights\.safetensors"),
        (swap, "field sha256 differs"),
        (lose_tensor, "lack 'heads.block1.softmax_branch.bias'"),
        (reshape_tensor, r"of shape \(11,\) instead of \(10,\)"),
        (poison_tensor, "to be finite"),
        (tear_card, r"JSON in .*card\.json"),
        (card_field("classes", 3), r"card\.json .*`classes` is wrong"),
        (card_field("surprise", 3), r"card\.json .*`surprise` is wrong"),
    ],
)
def test_damaged_models_are_refused_naming_file_and_field(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder)
    with pytest.raises(UserError, match=message):
        load(folder)


@pytest.mark.parametrize("name", shipped_models())
class TestShipped:
    def test_card_tells_the_truth_about_the_network(self, name: str) -> None:
        model = load(name)
        spec = model.card.spec
        cost = count(model.network, spec.in_channels, spec.image_size)
        assert cost.stage_macs == model.card.stage_macs
        assert cost.head_macs == model.card.head_macs
        assert model.network.exit_names == model.card.exit_names

    def test_card_tells_the_truth_about_the_tables(self, name: str) -> None:
        card = card_of(name)
        for split, accuracies in card.per_exit_accuracy.items():
            table = shipped_table(name, split)
            np.testing.assert_allclose(table.accuracy_per_exit, accuracies)
            for point in card.operating_points:
                ours = evaluate(table, Policy.from_dict(point.policy))
                theirs = getattr(point, split)
                assert ours.accuracy == pytest.approx(theirs.accuracy, abs=3e-4)
                assert ours.relative_cost == pytest.approx(theirs.relative_cost, abs=3e-4)

    def test_splits_do_not_overlap(self, name: str) -> None:
        sizes = {"photos": (1_658, 386)}.get(card_of(name).dataset, (10_000, 5_000))
        assert tuple(len(shipped_table(name, one)) for one in ("test", "calibration")) == sizes

    def test_network_answers_the_samples_as_its_table_says(self, name: str) -> None:
        model = load(name)
        if model.card.dataset != "mnist":  # only the digits ship in the order of their table
            return
        stored = model.shipped_table("calibration").select(np.arange(0, 5000, 50))
        digits = load_samples("mnist").select(np.arange(0, 5000, 50))
        np.testing.assert_array_equal(stored.labels, digits.labels)
        fresh = model.table(digits.images)
        np.testing.assert_allclose(fresh.probabilities, stored.probabilities, atol=1e-4)

    def test_network_answers_the_photographs_as_its_table_says(self, name: str) -> None:
        model = load(name)
        if model.card.dataset != "photos":  # named by their row in the test split
            return
        pictures = load_sample_pictures("photos").select(range(0, 60, 6))
        rows = [int(Path(pictures.rows.path(int(i))).name[:4]) for i in pictures.ids]
        stored = model.shipped_table("test").select(np.array(rows))
        np.testing.assert_array_equal(stored.labels, pictures.labels)
        fresh = model.table([pictures.picture(i) for i in range(len(pictures))])
        np.testing.assert_array_equal(fresh.answers, stored.answers)
        top = fresh.truncated().probabilities
        np.testing.assert_allclose(top, stored.probabilities, atol=1e-3)

    @pytest.mark.data
    def test_real_run_on_test_images_answers_as_the_table(
        self, name: str, prepared_root: Path
    ) -> None:
        model, images = load(name), load_split(card_of(name).dataset, "test", prepared_root)
        chosen = np.arange(0, len(images), 8)
        images, stored = images.select(chosen), model.shipped_table("test").select(chosen)
        np.testing.assert_array_equal(stored.labels, images.labels)
        policy = model.card.default_policy
        images = at_size(images, model.card.evaluation_transform)
        got, expected = model.predict(images.images, policy), route(stored, policy)
        # The table is rounded to 16 bits: a score may fall on the other side of its threshold.
        assert (got.exits != expected.exits).sum() <= 4
        assert (got.labels != expected.answers).sum() <= 1
        few = model.table(images.images[::10])  # of every exit, also of those not reached
        assert (few.answers != stored.answers[::10]).sum() <= 1
