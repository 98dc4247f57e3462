"""Two processes, as the command line starts them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.cli.main import main
from core.edge_cloud import measure
from core.edge_cloud.link import GlooWire
from core.edge_cloud.plan import TrainingTimes
from core.hub.model import load
from core.training.checkpoint import load_checkpoint
from tests.core.edge_cloud.wires import free_address
from tests.core.training.tiny import write_bars

ROOT = Path(__file__).resolve().parents[3]
RECIPE = """
name = "tiny"
title = "Tiny"
method = "hierarchical"
dataset = "bars"
batch_size = 16
precision = "float32"
[network]
backbone = "eenet8-narrow"
exits = ["block1", "block2"]
confidence = false
num_classes = 2
in_channels = 1
image_size = 8
[[phases]]
epochs = EPOCHS
learning_rate = 0.1
[edge_cloud]
split = "block1"
"""

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def bars_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bars(tmp_path / "data", 60, 20)
    monkeypatch.setenv("EENET_DATA", str(tmp_path / "data"))


def recipe(folder: Path, epochs: int) -> str:
    path = folder / "tiny.toml"
    path.write_text(RECIPE.replace("EPOCHS", str(epochs)))
    return str(path)


def refused(capsys: Capture, *args: object) -> str:
    """The one line on stderr with which a command line ends."""
    assert main([str(arg) for arg in args]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()[-1]


def test_one_command_trains_with_two_processes(capsys: Capture, tmp_path: Path) -> None:
    plan, out = recipe(tmp_path, epochs=2), tmp_path / "run"
    options = ["--out", str(out), "--threads", "1", "--bits", "8", "--rate", "100M", "--json"]
    assert main(["edge-cloud", "train", plan, *options]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    model = load(out / "model")
    assert told["per_exit_accuracy"] == list(model.card.per_exit_accuracy["test"])
    assert "epoch 2/2" in printed.err
    facts = model.card.training.edge_cloud
    assert facts is not None
    assert told["per_epoch"] == facts.model_dump()
    assert (facts.split, facts.bits, facts.rate) == ("block1", 8, 1e8)
    assert min(facts.batch_bytes, facts.state_bytes, facts.edge_seconds, facts.cloud_seconds) > 0
    assert model.card.command.endswith("train tiny --split block1 --bits 8 --rate 100000000")
    whole = [load_checkpoint(out / side / "checkpoint.safetensors") for side in ("edge", "cloud")]
    assert whole[0].facts == whole[1].facts
    assert whole[0].tensors.keys() == whole[1].tensors.keys()
    assert all(torch.equal(one, whole[1].tensors[name]) for name, one in whole[0].tensors.items())


@contextmanager
def other_worker(*args: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "core", "edge-cloud", "train", *args]
    worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize(("role", "other"), [("edge", "cloud"), ("cloud", "edge")])
def test_when_one_process_is_killed_the_other_says_so_and_keeps_what_was_learned(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, other: str
) -> None:
    plan, address = recipe(tmp_path, epochs=1000), free_address()
    common = [plan, "--address", address, "--threads", "1", "--patience", "240"]
    latest = tmp_path / "here" / role / "checkpoint.safetensors"
    send = GlooWire.send

    with other_worker(*common, "--role", other, "--out", str(tmp_path / "there")) as worker:

        def send_and_kill(self: GlooWire, message: Tensor) -> None:
            if latest.exists():
                worker.kill()
            send(self, message)

        monkeypatch.setattr(GlooWire, "send", send_and_kill)
        ours = [*common, "--role", role, "--out", tmp_path / "here"]
        line = refused(capsys, "edge-cloud", "train", *ours)
    assert line.startswith(f"error: expected the {other} worker to answer")
    assert f"{latest} keeps what both halves had learned after epoch" in line
    assert "start both sides again with --resume" in line
    assert load_checkpoint(latest).facts["epoch"] >= 1


def test_mistakes_are_sentences(capsys: Capture, tmp_path: Path) -> None:
    plan = recipe(tmp_path, epochs=1)

    def told(*args: object) -> str:
        return refused(capsys, "edge-cloud", "train", plan, *args)

    assert "32, 16 or 8, but got 12" in told("--bits", 12)
    assert "more than 0 bits per second" in told("--rate", "0")
    assert "like 250k, 10M or 1G" in told("--rate", "fast")
    assert "Did you mean 'block2'" in told("--split", "block22")
    assert "edge or cloud" in told("--role", "fog", "--address", "here:1")
    assert "--address" in told("--role", "edge")
    assert "--role" in told("--address", "here:1")
    assert "edge-cloud train" in refused(capsys, "train", plan)
    assert "early exits" in refused(capsys, "edge-cloud", "plan", "resnet8-mnist")
    assert "Did you mean" in refused(capsys, "edge-cloud", "plan", "resnet8-mnis")


def test_a_plan_names_the_best_split_for_each_rate(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = TrainingTimes(128, 1, (0.1,) * 3, (0.2,) * 3, (0.01,) * 3, (0.02,) * 3)
    monkeypatch.setattr(measure, "time_training", lambda spec, batch_size: times)
    args = ["edge-cloud", "plan", "eenet8-mnist", "--rate", "10k,10G", "--cloud-speed", "20"]
    assert main([*args, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in told["plans"]] == ["edge", "split", "split", "cloud"]
    assert told["best"] == {"10000": "all on the edge", "10000000000": "all in the cloud"}
    assert told["stretches"][0]["best"] == "all on the edge"
    assert main(args) == 0
    text = capsys.readouterr().out
    assert "10 kbit/s" in text
    assert "split at block1" in text
    assert "Calculated" in text
