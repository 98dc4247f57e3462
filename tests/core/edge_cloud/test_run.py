"""Two workers train one network."""

import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from core.data.splits import load_split
from core.edge_cloud.halves import hollow_network
from core.edge_cloud.run import answer_seconds, run_cloud, run_edge
from core.edge_cloud.traffic import BITS, feature_bytes
from core.foundation.errors import UserError
from core.networks.build import build
from core.networks.network import ExitNetwork
from core.networks.normalisation import Normalisation, to_device
from core.training.augment import CropAndFlip
from core.training.checkpoint import BEST, LATEST, load_checkpoint
from core.training.optimizer import learning_rate
from core.training.progress import EpochReport
from core.training.recipe import Recipe
from tests.core.edge_cloud.wires import meeting, run_both, split_recipe, trained, wires
from tests.core.training.tiny import same_weights, tiny_recipe, write_bars

CPU = torch.device("cpu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_bars(tmp_path, 100, 40)
    return tmp_path


def in_one_process(recipe: Recipe, root: Path) -> ExitNetwork:
    """The network after as many epochs, trained as a whole with features detached at the split."""
    assert recipe.edge_cloud is not None
    data = load_split(recipe.dataset, "train", root)
    normalise = Normalisation.measured([data.images])
    augmented = CropAndFlip(to_device(data.images, CPU), recipe.crop_pad, recipe.flip)
    labels = torch.from_numpy(data.labels)
    torch.manual_seed(recipe.seed)
    network = build(recipe.network).to(memory_format=torch.channels_last).train()
    split = network.exit_names.index(recipe.edge_cloud.split)
    optimizer = torch.optim.SGD(
        network.parameters(), 0.0, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    for epoch in range(recipe.epochs):
        phase, within = recipe.phase_at(epoch)
        weights = phase.exit_weights or (1.0,) * network.num_exits
        seed = recipe.seed * 1_000_003 + epoch
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        crops = torch.Generator().manual_seed(seed * 1009)
        batches = order[: len(order) // recipe.batch_size * recipe.batch_size]
        batches = batches.view(-1, recipe.batch_size)
        for step, chosen in enumerate(batches):
            progress = (within + step / len(batches)) / phase.epochs
            optimizer.param_groups[0]["lr"] = learning_rate(phase, progress)
            (drawn,) = augmented.draw(1, len(chosen), crops)
            features = normalise(augmented.batch(chosen, drawn))
            loss = torch.zeros(())
            for index in range(network.num_exits):
                features = network.stage(index, features)
                logits = network.head(index, features).logits
                loss = loss + weights[index] * F.cross_entropy(logits, labels[chosen])
                if index == split:
                    features = features.detach()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return network


@pytest.mark.parametrize("split", ["block1", "block2"])
def test_two_workers_learn_what_one_process_with_detached_features_learns(
    tmp_path: Path, root: Path, split: str
) -> None:
    phases = [{"epochs": 2, "learning_rate": 0.1, "warmup": 0.2, "exit_weights": [0.5, 0.7, 1.0]}]
    recipe = split_recipe(split=split, phases=phases)
    trained(recipe, tmp_path / "run", root)
    expected = in_one_process(recipe, root)
    found = load_checkpoint(tmp_path / "run" / "edge" / LATEST).part("network")
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, found[name]), name


@pytest.mark.parametrize("bits", BITS)
def test_features_and_labels_travel_and_are_counted(tmp_path: Path, root: Path, bits: int) -> None:
    recipe = split_recipe(epochs=1, edge_cloud={"bits": bits})
    _, (traffic,) = trained(recipe, tmp_path / "run", root)
    shape = hollow_network(recipe)[2]
    message = feature_bytes(recipe.batch_size, shape, bits) + recipe.batch_size
    assert traffic.batch_bytes == 90 // recipe.batch_size * message
    assert traffic.state_bytes > 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(
    tmp_path: Path, root: Path, optimizer: str
) -> None:
    recipe = split_recipe(epochs=3, optimizer=optimizer, edge_cloud={"bits": 8})
    straight, _ = trained(recipe, tmp_path / "straight", root)

    def power_cut(report: object, traffic: object) -> None:
        raise KeyboardInterrupt

    run = tmp_path / "run"
    came, mistake = run_both(recipe, run, root, on_epoch=power_cut)
    assert isinstance(came, KeyboardInterrupt)
    assert isinstance(mistake, UserError)
    resumed, traffic = trained(recipe, run, root, resume=True)
    assert [one.epoch for one in traffic] == [1, 2, 3]
    assert [one.loss for one in resumed.training_result.history] == [
        one.loss for one in straight.training_result.history
    ]
    same_weights(straight, resumed)


@pytest.mark.parametrize("lost", ["edge", "cloud"])
def test_either_side_alone_can_bring_the_other_back(tmp_path: Path, root: Path, lost: str) -> None:
    recipe = split_recipe(epochs=3)
    straight, _ = trained(recipe, tmp_path / "straight", root)

    def stop_after_two(report: EpochReport, traffic: object) -> None:
        if report.epoch == 2:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    run_both(recipe, run, root, on_epoch=stop_after_two)
    shutil.rmtree(run / lost)
    resumed, *_ = trained(recipe, run, root, resume=True)
    same_weights(straight, resumed)
    for side in ("edge", "cloud"):
        assert load_checkpoint(run / side / LATEST).facts["epoch"] == 3
        assert (
            load_checkpoint(run / side / BEST).facts["epoch"] == straight.training_result.best_epoch
        )


def test_who_is_left_says_what_happened_and_holds_both_halves(tmp_path: Path, root: Path) -> None:
    def power_cut(report: object, traffic: object) -> None:
        raise KeyboardInterrupt

    recipe = split_recipe(epochs=2)
    _, mistake = run_both(recipe, tmp_path / "run", root, on_epoch=power_cut)
    latest = tmp_path / "run" / "cloud" / LATEST
    assert isinstance(mistake, UserError)
    assert "connection broke" in str(mistake)
    assert f"{latest} keeps what both halves had learned after epoch 1 of 2" in str(mistake)
    assert "--resume" in str(mistake)
    network = build(recipe.network)
    network.load_state_dict(load_checkpoint(latest).part("network"))


def test_death_before_the_first_epoch_leaves_nothing_to_resume(tmp_path: Path, root: Path) -> None:
    edge, cloud = wires()
    cloud.break_off()
    with pytest.raises(UserError, match="first epoch was not finished: start both sides again"):
        run_edge(split_recipe(), tmp_path / "edge", meeting(edge), data=root)


def test_workers_that_do_not_fit_say_so_on_both_sides(tmp_path: Path, root: Path) -> None:
    recipe, other = split_recipe(), split_recipe(seed=5, edge_cloud={"bits": 8})
    for mistake in run_both(recipe, tmp_path / "a", root, cloud_recipe=other):
        assert isinstance(mistake, UserError)
        assert "differs in seed, edge_cloud" in str(mistake)
    for mistake in run_both(recipe, tmp_path / "b", root, cloud_resume=True):
        assert "--resume on both sides or on neither" in str(mistake)


def test_resume_without_any_checkpoint_starts(tmp_path: Path, root: Path) -> None:
    recipe = split_recipe(epochs=1)
    begun, _ = trained(recipe, tmp_path / "begun", root, resume=True)
    straight, _ = trained(recipe, tmp_path / "straight", root)
    same_weights(begun, straight)


def test_an_earlier_run_is_not_overwritten(tmp_path: Path, root: Path) -> None:
    recipe = split_recipe(epochs=1)
    trained(recipe, tmp_path / "run", root)
    for mistake in run_both(recipe, tmp_path / "run", root):
        assert isinstance(mistake, UserError)
        assert "add --resume" in str(mistake)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (split_recipe(split="block3"), r"one of the early exits block1, block2, but got 'block3'"),
        (tiny_recipe(), r"no `edge_cloud`: name an early exit with --split"),
        (tiny_recipe(edge_cloud={"split": "block1"}), r"set `confidence = false`"),
        (
            split_recipe(phases=[{"epochs": 1, "learning_rate": 0.1, "distillation": 0.5}]),
            r"leave out its .*`distillation`",
        ),
    ],
)
def test_recipes_that_cannot_be_split_are_refused(
    tmp_path: Path, root: Path, recipe: Recipe, message: str
) -> None:
    edge, cloud = wires()
    with pytest.raises(UserError, match=message):
        run_edge(recipe, tmp_path / "edge", meeting(edge), data=root)
    with pytest.raises(UserError, match=message):
        run_cloud(recipe, tmp_path / "cloud", meeting(cloud))


def test_a_slow_link_is_given_time() -> None:
    assert answer_seconds(split_recipe(), 300) == 300
    slow = split_recipe(edge_cloud={"rate": 100.0})
    batch = feature_bytes(slow.batch_size, hollow_network(slow)[2], 32)
    assert answer_seconds(slow, 300) >= 300 + 8 * batch / 100
