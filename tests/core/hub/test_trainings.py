import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from torch import nn

from core.exits.report import evaluate
from core.foundation.jobs import OnProgress
from core.hub.model import load
from core.hub.registry import models_in, shipped_table
from core.hub.trainings import TrainingJob
from core.networks.trunk import TRUNKS, Trunk
from tests.core.training.tiny import tiny_recipe, write_bars

LONG = 600.0
PATIENCE = 120.0


def at_once(on_progress: OnProgress) -> AbstractContextManager[None]:
    return nullcontext()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_bars(tmp_path / "data")
    return tmp_path


def test_a_finished_training_is_a_model(root: Path) -> None:
    recipe = tiny_recipe([{"epochs": 3, "learning_rate": 0.1}], name="mine-1")
    training = TrainingJob(recipe, root / "models" / "mine-1", LONG, at_once, root / "data")
    assert training.wait(PATIENCE)
    assert (training.stage, training.mistake, training.running) == ("finished", "", False)
    assert [report.epoch for report in training.reports] == [1, 2, 3]
    assert training.seconds_left == 0
    assert models_in(root / "models") == ["mine-1"]
    model = load(root / "models" / "mine-1")
    assert training.result is not None
    assert model.card.sha256 == training.result.sha256
    assert model.card.command == "python -m core train card.json"
    table = shipped_table(root / "models" / "mine-1", "test")
    report = evaluate(table, model.card.default_policy)
    assert report.per_exit_accuracy == pytest.approx(model.card.per_exit_accuracy["test"])
    assert [path.name for path in (root / "models").iterdir()] == ["mine-1"]


def test_stopping_keeps_what_was_learned(root: Path) -> None:
    recipe = tiny_recipe([{"epochs": 100_000, "learning_rate": 0.1}])
    training = TrainingJob(recipe, root / "models" / "tiny", LONG, at_once, root / "data")
    assert training._begun.wait(PATIENCE)
    training.stop()
    assert training.stopping
    assert training.wait(PATIENCE)
    assert training.stage == "finished"
    assert not training.out_of_time
    assert training.result is not None
    assert training.result.training.epochs == len(training.reports) < 100_000


def test_time_runs_out(root: Path) -> None:
    recipe = tiny_recipe([{"epochs": 100_000, "learning_rate": 0.1}])
    training = TrainingJob(recipe, root / "models" / "tiny", 0.0, at_once, root / "data")
    assert training.wait(PATIENCE)
    assert training.out_of_time
    assert training.result is not None
    assert len(training.reports) == 1


def test_a_training_waits_for_its_place_and_its_time_runs_from_then_on(root: Path) -> None:
    free, tells = Event(), Event()

    @contextmanager
    def later(on_progress: OnProgress) -> Iterator[None]:
        on_progress(0.0, "Number 1 in the queue …")
        tells.set()
        assert free.wait(PATIENCE)
        yield

    recipe = tiny_recipe([{"epochs": 2, "learning_rate": 0.1}])
    training = TrainingJob(recipe, root / "models" / "tiny", LONG, later, root / "data")
    assert tells.wait(PATIENCE)
    assert (training.running, training.waiting) == (True, True)
    assert training.message == "Number 1 in the queue …"
    free.set()
    assert training.wait(PATIENCE)
    assert (training.stage, training.waiting, len(training.reports)) == ("finished", False, 2)


def test_stopped_while_it_waits_it_leaves_the_queue(root: Path) -> None:
    @contextmanager
    def never(on_progress: OnProgress) -> Iterator[None]:
        while True:
            on_progress(0.0, "Number 1 in the queue …")
        yield

    training = TrainingJob(tiny_recipe(), root / "models" / "tiny", LONG, never, root / "data")
    training.stop()
    assert training.wait(PATIENCE)
    assert (training.stage, training.waiting, training.result) == ("stopped", False, None)
    assert not (root / "models").exists()


def test_a_training_that_nobody_holds_ends_and_leaves_nothing(root: Path) -> None:
    recipe = tiny_recipe([{"epochs": 100_000, "learning_rate": 0.1}])
    training = TrainingJob(recipe, root / "models" / "tiny", LONG, at_once, root / "data")
    shared = training._shared
    del training
    gc.collect()
    assert shared.done.wait(PATIENCE)
    assert (shared.stage, shared.result) == ("stopped", None)
    assert not (root / "models").exists()


def test_a_mistake_is_a_sentence_and_gives_its_place_back(root: Path) -> None:
    held: list[str] = []

    @contextmanager
    def place(on_progress: OnProgress) -> Iterator[None]:
        held.append("taken")
        try:
            yield
        finally:
            held.append("free")

    missing = TrainingJob(
        tiny_recipe(dataset="nothing"), root / "models" / "a", LONG, place, root / "data"
    )
    assert missing.wait(PATIENCE)
    assert missing.stage == "failed"
    assert "nothing" in missing.mistake
    assert missing.result is None
    again = TrainingJob(tiny_recipe(), root / "models" / "b", LONG, place, root / "data")
    assert again.wait(PATIENCE)
    assert held == ["taken", "free"] * 2
    assert np.isfinite([report.loss for report in again.reports]).all()


def with_dropout(in_channels: int) -> Trunk:
    trunk = TRUNKS["eenet8-narrow"](in_channels)
    trunk.blocks.block1 = nn.Sequential(trunk.blocks.block1, nn.Dropout(0.3))
    return trunk


def test_trainings_side_by_side_are_each_what_they_are_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRUNKS, "with-dropout", with_dropout)
    network = tiny_recipe().network.model_dump() | {"backbone": "with-dropout"}

    def begun(folder: str, seed: int) -> TrainingJob:
        recipe = tiny_recipe([{"epochs": 2, "learning_rate": 0.1}], network=network, seed=seed)
        return TrainingJob(recipe, root / folder / "tiny", LONG, at_once, root / "data")

    def checksums(jobs: list[TrainingJob]) -> list[str]:
        assert all(job.wait(PATIENCE) for job in jobs)
        assert [job.mistake for job in jobs] == [""] * len(jobs)
        return [job.result.sha256 for job in jobs if job.result is not None]

    before = torch.get_rng_state()
    alone = [one for seed in range(2) for one in checksums([begun(f"alone-{seed}", seed)])]
    beside = checksums([begun(f"beside-{seed}", seed) for seed in range(2)])
    assert beside == alone
    assert len(set(alone)) == 2
    assert torch.equal(torch.get_rng_state(), before)
