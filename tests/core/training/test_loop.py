import os
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from core.foundation.errors import UserError
from core.networks.backbones.airbench import airbench
from core.networks.randomness import OwnGenerator
from core.networks.trunk import TRUNKS
from core.training.checkpoint import LATEST, load_checkpoint, save_checkpoint
from core.training.loop import Trainer, train
from core.training.optimizer import set_rate
from core.training.recipe import Recipe
from tests.core.training.tiny import bars, same_weights, tiny_recipe, write_bars

CPU = torch.device("cpu")
SETS = bars(128, 0), bars(64, 1)
PHASES = {
    "v0 with momentum": [{"epochs": 4, "learning_rate": 0.1, "warmup": 0.2}],
    "two-stage": [
        {"epochs": 2, "learning_rate": 0.1},
        {"epochs": 2, "learning_rate": 0.05, "loss": "v1", "lambda_cost": 0.1},
    ],
    "v4 with tags": [{"epochs": 4, "learning_rate": 0.05, "loss": "v4", "lambda_cost": 0.1}],
    "confidence last": [
        {"epochs": 2, "learning_rate": 0.1},
        {"epochs": 2, "learning_rate": 0.1, "loss": "correctness", "trains": "confidence"},
    ],
    "averaged": [
        {"epochs": 2, "learning_rate": 0.1, "average": True},
        {"epochs": 2, "learning_rate": 0.1, "average": True},
    ],
    "heads, then gates": [
        {"epochs": 1, "learning_rate": 0.1, "trains": "exits"},
        {"epochs": 3, "learning_rate": 0.1, "loss": "gated", "then": "gates", "turn": 5},
    ],
    "distilled": [{"epochs": 4, "learning_rate": 0.05, "loss": "correctness", "distillation": 0.5}],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_bars(tmp_path)
    return tmp_path


def trainer(recipe: Recipe) -> Trainer:
    return Trainer.of_recipe(recipe, *SETS, CPU)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("phases", PHASES.values(), ids=PHASES)
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(
    tmp_path: Path, phases: list[dict[str, object]], optimizer: str
) -> None:
    recipe = tiny_recipe(phases, optimizer=optimizer)
    straight = trainer(recipe)
    reports = list(straight.epochs())

    path = tmp_path / "checkpoint.safetensors"
    for _ in range(recipe.epochs):  # a fresh process' worth of state for every single epoch
        part = trainer(recipe)
        if path.exists():
            part.restore(load_checkpoint(path), str(path))
        part.train_epoch()
        save_checkpoint(path, part.checkpoint())

    same_weights(straight.network, part.network)
    figures = [[(r.loss, r.front_accuracy) for r in run] for run in (part.history, reports)]
    assert figures[0] == figures[1]
    assert part.best_epoch == straight.best_epoch


@pytest.mark.parametrize("phases", PHASES.values(), ids=PHASES)
def test_a_run_that_is_stopped_within_epochs_loses_nothing(
    tmp_path: Path, phases: list[dict[str, object]]
) -> None:
    recipe = tiny_recipe(phases)
    straight = trainer(recipe)
    list(straight.epochs())

    asked = iter(range(10**6))
    stops = 0
    while True:
        part = trainer(recipe)
        if (tmp_path / LATEST).exists():
            part.restore(load_checkpoint(tmp_path / LATEST), "checkpoint")
        part.interrupted = lambda: next(asked) % 11 == 10
        part.can_stop_within = False  # its own question is the one above
        part.run_epochs(tmp_path)
        if part.epoch == recipe.epochs and not part.within.steps:
            break
        stops += 1

    assert stops > 1
    same_weights(straight.network, part.network)
    assert [r.loss for r in part.history] == [r.loss for r in straight.history]


def test_what_layers_drop_goes_on_where_it_was() -> None:
    first = OwnGenerator(5)
    with first:
        before = torch.rand(3)
        second = OwnGenerator(0)
    state = first.state()
    assert state is not None
    second.restore(state)
    with first:
        expected = torch.rand(3)
    with second.at_step(4):
        assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(before, expected)


def test_the_biases_of_batch_norms_learn_at_their_own_rate() -> None:
    recipe = tiny_recipe(
        [{"epochs": 1, "learning_rate": 0.1}], norm_bias_rate=50.0, weight_decay=0.2, momentum=0
    )
    made = trainer(recipe)
    norm = next(m for m in made.network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    with torch.no_grad():
        norm.weight.fill_(2.0)
        norm.bias.fill_(2.0)
    for parameter in made.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    set_rate(made.optimizer, 0.1)
    made.optimizer.step()
    decayed = 0.1 * 0.2 * 2.0
    assert torch.allclose(norm.weight, torch.tensor(2 - 0.1 - decayed))
    assert torch.allclose(norm.bias, torch.tensor(2 - 50 * 0.1 - decayed))


def test_a_whitening_is_computed_from_the_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUNKS, "airbench-thin", partial(airbench, widths=(8, 16, 16)))
    network = {"backbone": "airbench-thin", "exits": ["group1_2"], "head": "pool"}
    sizes = {"num_classes": 2, "in_channels": 1, "image_size": 32}
    recipe = tiny_recipe([{"epochs": 1, "learning_rate": 0.01}], network=network | sizes)
    large = [replace(one, images=one.images.repeat(4, 1).repeat(4, 2)) for one in SETS]
    made = Trainer.of_recipe(recipe, *large, CPU)
    layer = made.network.trunk.blocks.stem.whiten
    before = layer.weight.clone()
    images = torch.from_numpy(large[0].images).permute(0, 3, 1, 2)
    with torch.no_grad():
        first = layer(made.normalise(images))[:, 0] - layer.bias[0]
    assert float(first.square().mean()) == pytest.approx(1, rel=0.02)
    made.train_epoch()
    assert torch.equal(layer.weight, before)


def test_training_learns(root: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe([{"epochs": 8, "learning_rate": 0.1}], batch_size=20)
    result = train(recipe, tmp_path / "run", data=root).training_result
    assert max(result.history[-1].accuracy) > 0.9
    assert result.history[-1].loss < result.history[0].loss


def test_a_phase_that_trains_confidence_leaves_the_rest_as_it_was() -> None:
    made = trainer(
        tiny_recipe(
            [
                {"epochs": 1, "learning_rate": 0.1},
                {"epochs": 2, "learning_rate": 0.5, "loss": "correctness", "trains": "confidence"},
            ]
        )
    )
    made.train_epoch()
    before = {name: tensor.clone() for name, tensor in made.network.state_dict().items()}
    made.train_epoch()
    made.train_epoch()
    changed = {
        name
        for name, tensor in made.network.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {name for name in before if ".confidence_branch." in name}
    assert len({report.accuracy for report in made.history}) == 1


@pytest.mark.parametrize("targets", ["labels", "network"])
def test_a_frozen_network_stays_the_same_to_the_bit_while_its_exits_learn(targets: str) -> None:
    phase = {"epochs": 3, "learning_rate": 0.1, "trains": "exits", "targets": targets}
    made = trainer(tiny_recipe([{"epochs": 1, "learning_rate": 0.1}, phase | {"loss": "v1"}]))
    made.train_epoch()
    before = {name: tensor.clone() for name, tensor in made.network.state_dict().items()}
    list(made.epochs())
    after = made.network.state_dict()
    early = ("heads.block1.", "heads.block2.")
    for name, tensor in before.items():
        if not name.startswith(early):
            assert torch.equal(tensor, after[name]), name
    assert all(
        any(not torch.equal(before[name], after[name]) for name in before if name.startswith(exit_))
        for exit_ in early
    )


def test_exits_can_learn_from_the_network_alone() -> None:
    made = trainer(
        tiny_recipe(
            [
                {"epochs": 6, "learning_rate": 0.1, "exit_weights": [0, 0, 1]},
                {"epochs": 6, "learning_rate": 0.1, "trains": "exits", "targets": "network"},
            ]
        )
    )
    for _ in range(6):
        made.train_epoch()
    labels = made.train.labels  # type: ignore[attr-defined]
    labels.copy_(torch.randint_like(labels, 2))  # never looked at from here on
    for report in made.epochs():
        assert report.accuracy[-1] == made.history[5].accuracy[-1]
    assert made.history[-1].accuracy[1] > made.history[5].accuracy[1]


def test_two_losses_take_turns() -> None:
    (phase,) = tiny_recipe(
        [{"epochs": 1, "learning_rate": 0.1, "loss": "gated", "then": "gates", "turn": 2}]
    ).phases
    assert [phase.loss_at(step) for step in range(6)] == [
        "gated", "gated", "gates", "gates", "gated", "gated",
    ]  # fmt: skip


def test_selection_looks_at_the_last_phase_on_calibration(root: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe([{"epochs": 3, "learning_rate": 0.1}, {"epochs": 3, "learning_rate": 0.1}])
    result = train(recipe, tmp_path / "run", data=root).training_result
    fronts = {report.epoch: report.front_accuracy for report in result.history[3:]}
    assert result.best_epoch in (4, 5, 6)
    assert fronts[result.best_epoch] == max(fronts.values())
    best = load_checkpoint(tmp_path / "run" / "best.safetensors")
    assert best.facts["epoch"] == result.best_epoch


def test_a_checkpoint_of_an_earlier_version_is_refused_in_words(tmp_path: Path) -> None:
    made = trainer(tiny_recipe())
    made.train_epoch()
    old = made.checkpoint()
    for row in old.facts["history"]:
        del row["front_accuracy"]
    save_checkpoint(tmp_path / "old.safetensors", old)
    again = trainer(tiny_recipe())
    with pytest.raises(UserError, match=r"old\.safetensors is of an earlier version, .* anew"):
        again.restore(load_checkpoint(tmp_path / "old.safetensors"), "old.safetensors")
    assert again.epoch == 0


class Interrupted(BaseException):
    pass


def test_an_interrupt_keeps_the_last_epoch_and_resume_goes_on(root: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe([{"epochs": 4, "learning_rate": 0.1}])

    def stop(report: object) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        train(recipe, tmp_path / "run", data=root, on_epoch=stop)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").facts["epoch"] == 1
    resumed = train(recipe, tmp_path / "run", data=root, resume=True)
    straight = train(recipe, tmp_path / "straight", data=root)
    same_weights(straight, resumed)


def test_an_earlier_run_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe([{"epochs": 1, "learning_rate": 0.1}])
    train(recipe, tmp_path / "run", data=root)
    with pytest.raises(UserError, match=r"exists: add --resume"):
        train(recipe, tmp_path / "run", data=root)


def test_resume_refuses_another_recipe_and_damaged_files(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(tiny_recipe([{"epochs": 1, "learning_rate": 0.1}]), out, data=root)
    other = tiny_recipe([{"epochs": 1, "learning_rate": 0.2}], seed=5)
    with pytest.raises(UserError, match=r"another recipe .*seed, phases"):
        train(other, out, data=root, resume=True)
    path = out / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match=r"checkpoint\.safetensors cannot be read"):
        train(other, out, data=root, resume=True)


def test_resume_without_a_checkpoint_starts(root: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe([{"epochs": 1, "learning_rate": 0.1}])
    begun = train(recipe, tmp_path / "nowhere", data=root, resume=True)
    same_weights(begun, train(recipe, tmp_path / "straight", data=root))


def test_collapse_is_reported() -> None:
    phases = [{"epochs": 3, "learning_rate": 0.1, "loss": "v1", "lambda_cost": 50.0}]
    reports = list(trainer(tiny_recipe(phases)).epochs())
    assert reports[-1].exit_share[0] > 0.95
    assert reports[-1].warning is not None
    assert "leave at exit 1: lower λ" in reports[-1].warning


def test_a_recipe_that_does_not_fit_its_data_is_refused() -> None:
    network = tiny_recipe().network.model_copy(update={"num_classes": 5})
    with pytest.raises(UserError, match="8×8 pixels, 1 channels and 5 classes"):
        trainer(tiny_recipe().model_copy(update={"network": network}))


def test_the_seed_decides_everything() -> None:
    one, two, three = (trainer(tiny_recipe(seed=seed)) for seed in (1, 1, 2))
    losses = [run.train_epoch().loss for run in (one, two, three)]
    assert losses[0] == losses[1] != losses[2]


FROZEN_THEN_ALL = [
    {"epochs": 3, "learning_rate": 0.1, "trains": "exits"},
    {"epochs": 2, "learning_rate": 0.05, "loss": "v2", "lambda_cost": 0.05},
]
SCRIPT = """
import sys
from pathlib import Path
from core.training.loop import train
from tests.core.training.test_loop import FROZEN_THEN_ALL
from tests.core.training.tiny import tiny_recipe
train(tiny_recipe(FROZEN_THEN_ALL, crop_pad=0), Path(sys.argv[1]), data=Path(sys.argv[2]))
"""


def test_two_processes_train_one_network(root: Path, tmp_path: Path) -> None:
    """While the trunk is frozen, no batch statistics differ: two halves of a batch are one batch.

    Processes that do not talk learn from half of the images each, and come to other weights.
    """
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
        f"--master-port={port}", str(script), str(tmp_path / "run"), str(root),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    facts = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").facts
    assert facts["epoch"] == 5
    losses = [row["loss"] for row in facts["history"]]
    recipe = tiny_recipe(FROZEN_THEN_ALL, crop_pad=0)
    alone = train(recipe, tmp_path / "alone", data=root).training_result.history
    assert losses[:3] == pytest.approx([report.loss for report in alone[:3]], rel=1e-5)
    assert facts["history"][2]["accuracy"] == pytest.approx(alone[2].accuracy)
    # From here on each process has the batch statistics of its own half.
    assert losses[3:] == pytest.approx([report.loss for report in alone[3:]], rel=0.2)
