import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from core.cli import main as cli
from core.cli.main import main
from core.cli.methods import BEGIN, END
from core.cli.text import table_text, to_json
from core.data.prepared import load_prepared, write_prepared
from core.data.samples import load_samples
from core.deploy import benchmark as bench
from core.exits.cost_controller import HeldCost, route_stream
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.table_file import load_tables
from core.foundation.errors import UserError
from core.hub.methods import own_criterion
from core.hub.model import load
from core.hub.registry import card_of, model_folder, shipped_models, shipped_table
from core.training import loop
from core.training.checkpoint import LATEST, load_checkpoint
from core.tuning.calibration import temperatures_for
from core.tuning.promise import promise
from core.tuning.risk import METHODS, RISKS
from tests.core.training.tiny import write_bars

MODEL, PLAIN, CIFAR = "eenet8-mnist", "resnet8-mnist", "eenet20-cifar10"
RECIPE = """
name = "tiny"
title = "Tiny"
method = "eenet"
dataset = "bars"
batch_size = 16
[network]
backbone = "eenet8-narrow"
exits = ["block1", "block2"]
num_classes = 2
in_channels = 1
image_size = 8
[[phases]]
epochs = 2
learning_rate = 0.1
"""

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_data_set_and_no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path / "no-data"))
    monkeypatch.setattr(bench, "FEWEST_IMAGES", 4)


def answered(capsys: Capture, *args: object) -> dict[str, Any]:
    assert main([*map(str, args), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def shown(capsys: Capture, *args: object) -> str:
    assert main([str(arg) for arg in args]) == 0
    return capsys.readouterr().out


def refused(capsys: Capture, *args: object) -> str:
    """The one line on stderr with which a command line ends."""
    assert main([str(arg) for arg in args]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.fixture
def digits(tmp_path: Path) -> list[Path]:
    paths = []
    for index in (0, 1000, 4000):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(load_samples("mnist").images[index, :, :, 0]).save(paths[-1])
    return paths


@pytest.fixture
def mnist_root(tmp_path: Path) -> Path:
    """A prepared MNIST whose test images are 250 of the shipped digits."""
    part = load_samples("mnist").select(np.arange(0, 5000, 20))
    write_prepared("mnist", "test", part.images, part.labels, part.classes, tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def bars_root(tmp_path: Path) -> Path:
    write_bars(tmp_path / "root")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path / "root"


def test_models_lists_every_model(capsys: Capture) -> None:
    listed = answered(capsys, "models")["models"]
    assert [one["name"] for one in listed] == shipped_models()
    for one in listed:
        card = card_of(one["name"])
        assert one["per_exit_accuracy"] == list(card.per_exit_accuracy["test"])
        assert one["macs"] == card.plain_macs
        if card.default_point:
            assert one["accuracy"] == card.default_point.test.accuracy
    text = shown(capsys, "models")
    assert all(f"\n{name} " in text for name in shipped_models())


def test_models_brings_the_tables_in_a_file_up_to_date(capsys: Capture, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results: begin -->\nold\n<!-- results: end -->\nafter\n")
    shown(capsys, "models", "--update", page)
    text = page.read_text()
    assert f"`{MODEL}`" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    page.write_text("no marks")
    assert "marks" in refused(capsys, "models", "--update", page)


def test_predict_answers_as_the_library_does(capsys: Capture, digits: list[Path]) -> None:
    got = answered(capsys, "predict", MODEL, *digits)
    expected = load(MODEL).predict(load_samples("mnist").images[[0, 1000, 4000]])
    assert [row["image"] for row in got["images"]] == [str(path) for path in digits]
    assert [row["label"] for row in got["images"]] == expected.labels.tolist()
    assert [row["exit_index"] for row in got["images"]] == expected.exits.tolist()
    assert [row["relative_cost"] for row in got["images"]] == expected.costs.tolist()
    assert Policy.from_dict(got["policy"]) == card_of(MODEL).default_policy
    assert "0.png" in shown(capsys, "predict", MODEL, *digits)


def test_predict_tells_of_pictures_unlike_the_training_data(
    capsys: Capture, digits: list[Path], tmp_path: Path
) -> None:
    photo = tmp_path / "paper.png"
    with Image.open(digits[0]) as digit:
        ImageOps.invert(digit.convert("L")).save(photo)
    assert main(["predict", MODEL, str(digits[0]), str(photo)]) == 0
    told = capsys.readouterr().err
    assert f"{photo}: This picture is" in told
    assert f"{digits[0]}: This picture" not in told


def test_predict_obeys_the_policy(capsys: Capture, digits: list[Path], tmp_path: Path) -> None:
    def exits(*options: object) -> set[int]:
        rows = answered(capsys, "predict", MODEL, *digits, *options)["images"]
        return {row["exit_index"] for row in rows}

    Policy("entropy", (0.0, 0.0), (False, True)).save(tmp_path / "policy.json")
    assert exits("--criterion", "entropy", "--thresholds", "0,0") == {0}
    assert exits("--criterion", "entropy", "--thresholds", "1,1") == {2}
    assert exits("--policy", tmp_path / "policy.json") == {1}


def test_notes_about_an_image_go_to_stderr(capsys: Capture, tmp_path: Path) -> None:
    Image.new("RGBA", (30, 30), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert main(["predict", MODEL, str(tmp_path / "clear.png"), "--json"]) == 0
    printed = capsys.readouterr()
    assert "clear.png: Its transparent parts were placed on white." in printed.err
    assert len(json.loads(printed.out)["images"]) == 1


def test_one_bad_image_among_several_answers_none(capsys: Capture, digits: list[Path]) -> None:
    digits[1].write_text("not a picture")
    assert "1000.png" in refused(capsys, "predict", MODEL, *digits)


EVALUATION = {
    "model", "split", "samples", "source", "accuracy", "relative_cost", "exit_share",
    "per_exit_accuracy", "per_exit_agreement", "plain_accuracy", "seconds", "images_per_second",
    "policy",
}  # fmt: skip


@pytest.mark.parametrize("split", ["test", "calibration"])
def test_evaluate_without_a_data_set_uses_the_shipped_table(
    capsys: Capture, tmp_path: Path, split: str
) -> None:
    got = answered(capsys, "evaluate", MODEL, "--split", split, "--out", tmp_path / "out.npz")
    expected = evaluate(shipped_table(MODEL, split), card_of(MODEL).default_policy)
    assert set(got) >= EVALUATION
    assert got["source"] == "table"
    assert got["samples"] == expected.samples
    assert got["accuracy"] == expected.accuracy
    assert got["relative_cost"] == expected.relative_cost
    assert got["plain_accuracy"] == card_of(MODEL).reference_accuracy(split)
    assert got["seconds"] is got["images_per_second"] is None
    assert len(load_tables(tmp_path / "out.npz")[split]) == expected.samples
    assert main(["evaluate", MODEL, "--split", split]) == 0
    printed = capsys.readouterr()
    assert f"{expected.accuracy:.2%}" in printed.out
    assert "not on disk" in printed.err


def test_evaluate_with_a_data_set_runs_the_network(
    capsys: Capture, mnist_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.npz"
    options = ("--criterion", "max_probability", "--thresholds", "0.9,0.8")
    got = answered(
        capsys, "evaluate", MODEL, "--data", mnist_root, "--out", out, "--batch-size", 7, *options
    )
    images = load_prepared("mnist", "test", mnist_root)
    table = load(MODEL).table(images.images, images.labels)
    expected = evaluate(table, Policy("max_probability", (0.9, 0.8)))
    assert set(got) >= EVALUATION
    assert (got["source"], got["samples"]) == ("network", 250)
    for figure in ("accuracy", "relative_cost", "exit_share", "per_exit_accuracy"):
        assert got[figure] == pytest.approx(getattr(expected, figure), abs=2e-3)
    assert got["images_per_second"] == pytest.approx(250 / got["seconds"])
    saved = load_tables(out)["test"]
    np.testing.assert_array_equal(saved.labels, images.labels)
    np.testing.assert_allclose(saved.probabilities, table.probabilities, atol=1e-4)


def test_a_held_cost_on_the_table_and_in_the_real_run(capsys: Capture, mnist_root: Path) -> None:
    options = ("--hold-cost", 0.3, "--criterion", "margin", "--batch-size", 50)
    stored = answered(capsys, "evaluate", MODEL, *options)
    run = answered(capsys, "evaluate", MODEL, "--data", mnist_root, *options)
    calibration, test = (shipped_table(MODEL, split) for split in ("calibration", "test"))
    held = HeldCost.of(calibration, Policy.from_dict(stored["policy"]))
    assert stored["policy"] == run["policy"]
    assert stored["held_cost"] == run["held_cost"] == held.relative_cost <= 0.3
    assert (stored["source"], run["source"]) == ("table", "network")
    expected = route_stream(test, held.start(), 50)
    assert stored["relative_cost"] == expected.relative_cost
    assert stored["accuracy"] == expected.accuracy
    images = load_prepared("mnist", "test", mnist_root)
    table = load(MODEL).table(images.images, images.labels)
    expected = route_stream(table, held.start(), 50)
    assert run["relative_cost"] == pytest.approx(expected.relative_cost, abs=2e-3)
    assert run["exit_share"] == pytest.approx(expected.exit_share, abs=8e-3)
    assert "The accuracy is not held." in shown(capsys, "evaluate", MODEL, *options)


def test_predict_with_a_held_cost(capsys: Capture, digits: list[Path]) -> None:
    got = answered(capsys, "predict", MODEL, *digits, "--hold-cost", 0.3)
    assert got["held_cost"] <= 0.3
    assert len(got["images"]) == len(digits)


def test_evaluate_finds_the_data_set_in_the_environment(
    capsys: Capture, mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EENET_DATA", str(mnist_root))
    assert answered(capsys, "evaluate", PLAIN)["source"] == "network"
    assert "really run" in shown(capsys, "evaluate", PLAIN)


def test_a_data_set_with_other_classes_is_refused(capsys: Capture, mnist_root: Path) -> None:
    images = load_prepared("mnist", "test", mnist_root)
    write_prepared("mnist", "test", images.images, images.labels, tuple("abcdefghij"), mnist_root)
    assert "classes on the card" in refused(capsys, "evaluate", MODEL, "--data", mnist_root)


@pytest.mark.data
@pytest.mark.parametrize("name", ["eenet8-mnist", "exclusion8-mnist", "resnet8-50-cifar10"])
def test_evaluate_on_the_real_test_images_gives_the_card(
    name: str, capsys: Capture, prepared_root: Path
) -> None:
    got = answered(capsys, "evaluate", name, "--data", prepared_root)
    card, stored = card_of(name), shipped_table(name, "test")
    expected = evaluate(stored, card.default_policy)
    assert got["source"] == "network"
    # The table is rounded to 16 bits: a score may fall on the other side of its threshold.
    assert got["accuracy"] == pytest.approx(expected.accuracy, abs=5e-4)
    assert got["relative_cost"] == pytest.approx(expected.relative_cost, abs=5e-4)
    assert got["exit_share"] == pytest.approx(expected.exit_share, abs=1e-3)
    assert got["per_exit_accuracy"] == pytest.approx(card.per_exit_accuracy["test"], abs=5e-4)


@pytest.mark.parametrize("limit", [("--max-drop", 0.0), ("--max-drop", 0.01), ("--max-cost", 0.3)])
def test_tune_with_any_criterion_is_at_least_as_good_as_with_each(
    capsys: Capture, limit: tuple[str, float]
) -> None:
    optimistic = ("--confidence", 0)
    best = answered(capsys, "tune", MODEL, *limit, *optimistic)["calibration"]
    for criterion in card_of(MODEL).criteria:
        one = answered(capsys, "tune", MODEL, *limit, *optimistic, "--criterion", criterion)
        assert one["policy"]["criterion"] == criterion
        if limit[0] == "--max-drop":
            least = card_of(MODEL).reference_accuracy("calibration") - limit[1]
            assert one["calibration"]["accuracy"] >= least - 1e-9
            assert best["relative_cost"] <= one["calibration"]["relative_cost"]
        else:
            assert one["calibration"]["relative_cost"] <= limit[1] + 1e-9
            assert best["accuracy"] >= one["calibration"]["accuracy"]


def test_a_promised_drop_is_the_methods_own_criterion_and_comes_with_intervals(
    capsys: Capture,
) -> None:
    command = ["tune", MODEL, "--max-drop", 0.005, "--confidence", 0.8]
    got = answered(capsys, *command)
    card = card_of(MODEL)
    plain = shipped_table(card.plain.name, "calibration")
    table = shipped_table(MODEL, "calibration")
    found = promise(table, own_criterion(card.method, card.criteria), 0.005, 0.8, plain)
    assert got["promise"] == json.loads(json.dumps(found.to_dict()))
    assert got["policy"] == got["promise"]["policy"]
    assert found.against_plain
    test = got["test"]
    low, high = test["difference_interval"]
    assert low < test["difference"] < high
    assert test["difference"] == pytest.approx(test["accuracy"] - card.reference_accuracy("test"))
    assert test["accuracy_interval"][0] < test["accuracy"] < test["accuracy_interval"][1]
    assert got["calibration"]["accuracy_interval"] is None
    text = shown(capsys, *command)
    assert found.guarantee in text
    assert f"({100 * low:+.2f} to {100 * high:+.2f})" in text
    optimistic = shown(capsys, "tune", MODEL, "--max-drop", 0.005, "--confidence", 0)
    assert "An optimistic choice: it loses at most 0.5 percentage points" in optimistic


@pytest.mark.parametrize("goal", [("--max-drop", 0.015), ("--max-cost", 0.6)])
def test_tune_calibrates_and_says_what_that_does(
    capsys: Capture, tmp_path: Path, goal: tuple[str, float]
) -> None:
    command = ["tune", CIFAR, *goal, "--calibrate", "--out", tmp_path / "policy.json"]
    tuned = answered(capsys, *command)
    temperatures = temperatures_for(shipped_table(CIFAR, "calibration"))
    assert tuple(tuned["policy"]["temperatures"]) == temperatures
    assert Policy.load(tmp_path / "policy.json").temperatures == temperatures
    on_test = tuned["probabilities"]["test"]
    for figure in ("negative_log_likelihood", "calibration_error"):
        assert np.mean(on_test["after"][figure]) < np.mean(on_test["before"][figure])
    got = answered(capsys, "evaluate", CIFAR, "--policy", tmp_path / "policy.json")
    assert got["accuracy"] == tuned["test"]["accuracy"]
    text = shown(capsys, "tune", CIFAR, *goal, "--calibrate")
    assert "negative log-likelihood" in text
    assert f"{temperatures[0]:.3f}" in text


def test_tune_refuses_to_calibrate_where_only_top_classes_are_kept(capsys: Capture) -> None:
    command = ["tune", "eenet-airbench-large-tiny", "--max-cost", 0.7, "--calibrate"]
    assert "keeps the top 8 of 200" in refused(capsys, *command)


def test_tune_says_how_many_images_a_promise_takes(capsys: Capture) -> None:
    command = ["tune", MODEL, "--max-drop", 0.005, "--how-many"]
    got = answered(capsys, *command)
    assert got["chance"] == sorted(got["chance"])
    text = shown(capsys, *command)
    assert got["sentence"] in text
    assert f"{got['samples'][-1]:,}" in text
    assert "--how-many with --max-drop" in refused(
        capsys, "tune", MODEL, "--max-cost", 0.5, "--how-many"
    )


def test_tune_by_validated_accuracy_has_more_exits_the_less_is_asked(capsys: Capture) -> None:
    costs = [
        answered(capsys, "tune", MODEL, "--min-accuracy", level)["test"]["relative_cost"]
        for level in (0.9, 0.99, 0.999)
    ]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


def test_methods_are_compared_in_a_table_that_a_file_can_keep(
    capsys: Capture, tmp_path: Path
) -> None:
    file = tmp_path / "methods.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    rows = answered(capsys, "methods", "mnist", "--update", file)["methods"]
    assert {row["name"] for row in rows} >= {"eenet8-mnist", "eenet20-mnist"}
    text = shown(capsys, "methods", "mnist")
    assert file.read_text(encoding="utf-8") == f"before\n{BEGIN}\n{text.rstrip()}\n{END}\nafter\n"
    assert "| EENet | `eenet8-mnist` | confidence |" in text


def test_a_tuned_policy_achieves_what_tune_said(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    tuned = answered(capsys, "tune", MODEL, "--max-drop", 0.008, "--out", path)
    got = answered(capsys, "evaluate", MODEL, "--policy", path)
    assert got["policy"] == tuned["policy"]
    for figure in ("accuracy", "relative_cost", "exit_share"):
        assert got[figure] == tuned["test"][figure]
    text = shown(capsys, "tune", MODEL, "--max-drop", 0.008)
    assert f"{got['accuracy']:.2%}" in text


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("risk", RISKS)
def test_tune_with_a_guarantee(capsys: Capture, method: str, risk: str) -> None:
    command = ["tune", MODEL, "--max-risk", 0.02, "--method", method, "--risk", risk]
    got = answered(capsys, *command)
    assert got["max_risk"] == 0.02
    assert got["policy"] == got["promise"]["policy"]
    assert got["promise"]["bound"] <= 0.02
    assert got["promise"]["risk_on_test"] <= 0.02
    assert got["promise"]["guarantee"] in shown(capsys, *command)


def test_tune_with_a_guarantee_at_every_exit(capsys: Capture) -> None:
    command = ["tune", MODEL, "--max-risk", 0.02, "--risk", "selective"]
    got = answered(capsys, *command)
    assert got["policy"] == got["promise"]["policy"]
    for error, share in zip(
        got["promise"]["risk_on_test"], got["test"]["exit_share"][:-1], strict=True
    ):
        assert (error is None) == (share == 0)
        assert error is None or error <= 0.02
    text = shown(capsys, *command)
    assert got["promise"]["guarantee"] in text
    assert "Measured on test, exit by exit: " in text
    assert "use 'ltt' or 'ucb'" in refused(capsys, *command, "--method", "crc")


def test_out_of_reach_says_what_is_reachable(capsys: Capture) -> None:
    assert "cheapest reachable costs" in refused(capsys, "tune", MODEL, "--max-cost", 0.001)


def test_train_makes_a_model_that_the_other_commands_take(
    capsys: Capture, bars_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = ["train", str(tmp_path / "tiny.toml"), "--out", str(out), "--data", str(bars_root)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(str(out / "model"))
    assert "epoch 1/2  loss " in printed.err
    assert "epoch 2/2  loss " in printed.err
    got = answered(capsys, "evaluate", out / "model", "--data", bars_root)
    assert (got["samples"], got["plain_accuracy"]) == (60, None)
    assert "exists: add --resume" in refused(capsys, *command)
    assert main([*command, "--resume"]) == 0


def test_seeds_trains_once_per_seed_and_shows_the_spread(
    capsys: Capture, bars_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["seeds", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "runs")]
    command += ["--data", str(bars_root), "--seed", "4", "--seed", "7"]
    (tmp_path / "log.md").write_text("<!-- seeds tiny: begin --><!-- seeds tiny: end -->")
    table = shown(capsys, *command, "--update", tmp_path / "log.md")
    assert "| mean | standard deviation | seed 4 | seed 7 |" in table
    assert table.strip() in (tmp_path / "log.md").read_text()
    made = [card_of(tmp_path / "runs" / f"tiny-seed{seed}" / "model") for seed in (4, 7)]
    figures = answered(capsys, *command)["figures"]  # reads what was trained before
    last = figures[f"exit 3 ({made[0].exit_names[-1]}), accuracy"]
    assert last["values"] == [card.per_exit_accuracy["test"][-1] for card in made]
    assert made[0].sha256 != made[1].sha256
    assert "--seed at least twice" in refused(capsys, *command[:-2])
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "torchrun" in refused(capsys, *command)


def interrupt_at_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    train_epoch = loop.Trainer.train_epoch

    def interrupted(trainer: loop.Trainer) -> object:
        if trainer.epoch == epoch:
            raise KeyboardInterrupt
        return train_epoch(trainer)

    monkeypatch.setattr(loop.Trainer, "train_epoch", interrupted)


def test_seeds_that_are_interrupted_go_on_by_the_same_command(
    capsys: Capture, bars_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["seeds", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "runs")]
    command += ["--data", str(bars_root), "--seed", "4", "--seed", "7"]
    with monkeypatch.context() as interrupted:
        interrupt_at_epoch(1, interrupted)
        assert main(command) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert main(command) == 0


def test_an_interrupted_training_says_how_to_go_on(
    capsys: Capture, bars_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "run")]
    command += ["--data", str(bars_root)]
    for epoch, message in ((0, "starts from the beginning"), (1, "add --resume to go on")):
        with monkeypatch.context() as interrupted:
            interrupt_at_epoch(epoch, interrupted)
            assert main(command) == 130
        assert message in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert "epoch 1/2" not in capsys.readouterr().err


def test_resume_before_the_first_checkpoint_starts_and_says_so(
    capsys: Capture, bars_root: Path, tmp_path: Path
) -> None:
    command = ["train", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "run"), "--resume"]
    assert main([*command, "--data", str(bars_root)]) == 0
    assert "starting from the beginning" in capsys.readouterr().err


def test_a_model_without_its_checkpoint_is_not_replaced(
    capsys: Capture, bars_root: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(model_folder(MODEL), run / "model")
    command = ["train", str(tmp_path / "tiny.toml"), "--out", str(run), "--data", str(bars_root)]
    for more in ([], ["--resume"]):
        assert "would replace" in refused(capsys, *command, *more)
    assert card_of(run / "model").name == MODEL


@pytest.mark.parametrize(
    "line",
    [
        f"evaluate {MODEL} --out {{}}",
        f"tune {MODEL} --max-drop 0.01 --out {{}}",
        "train eenet8-mnist --out {}",
        f"export {MODEL} --out {{}}",
        "data prepare mine --from pictures --data {}",
    ],
)
def test_what_cannot_be_written_is_noticed_before_the_work(
    line: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for module in ("hub.model.load", "hub.train_model.train_model", "data.folders.read_folder"):
        monkeypatch.setattr(f"core.{module}", lambda *_, **__: pytest.fail("it worked first"))
    where = str(tmp_path / "file" / "below")
    assert f"expected to write {where}" in refused(capsys, *line.format(where).split())


def child(arguments: Sequence[object], **streams: Any) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "core", *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **streams)


def test_output_that_nobody_reads_never_stops_work(bars_root: Path, tmp_path: Path) -> None:
    train = ["train", tmp_path / "tiny.toml", "--data", bars_root, "--out"]
    reader, writer = os.pipe()
    os.close(reader)
    process = child([*train, tmp_path / "broken"], stderr=writer, stdout=subprocess.DEVNULL)
    os.close(writer)
    assert process.wait() == 0
    core = [sys.executable, "-m", "core"]
    closed = shlex.join([*core, *map(str, train), str(tmp_path / "closed")])
    assert subprocess.run(f"{closed} >&- 2>&- <&-", shell=True).returncode == 0
    for name in ("broken", "closed"):
        assert load(tmp_path / name / "model").card.num_exits == 3


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_training_that_can_be_resumed(
    number: int, status: int, bars_root: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.replace("epochs = 2", "epochs = 500")
    (tmp_path / "long.toml").write_text(recipe)
    run = tmp_path / "run"
    command = ["train", tmp_path / "long.toml", "--data", bars_root, "--out", run]
    inherited = signal.signal(number, signal.SIG_DFL)  # a job in the background ignores interrupts
    process = child(command, stderr=subprocess.PIPE)
    signal.signal(number, inherited)
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(b"epoch 2/500"):
                break
        process.send_signal(number)
        last = process.stderr.read().decode().splitlines()[-1]
    assert process.returncode == status
    assert last == f"Stopped. {run} keeps all that was trained: add --resume to go on."
    assert not list(run.rglob("*.partial*"))
    assert load_checkpoint(run / LATEST).facts["epoch"] >= 2


def test_bench_compares_time_with_compute(capsys: Capture) -> None:
    got = answered(capsys, "bench", MODEL, "--batch-size", "1,6")
    assert got["source"] == "sample"
    assert [one["batch_size"] for one in got["measurements"]] == [1, 6]
    for one in got["measurements"]:
        assert one["time_ratio"] == one["early_exit_ms"] / one["plain_ms"]
        assert 0 < one["relative_cost"] < 1
    assert "relative cost (MACs)" in shown(capsys, "bench", MODEL, "--batch-size", "2")


def test_data_prepare_converts_a_folder(capsys: Capture, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(5):
            picture = Image.new("RGB", (12, 12), (number * 20, 0, 0))
            picture.save(tmp_path / "pets" / name / f"{number}.png")
    root = tmp_path / "root"
    out = shown(
        capsys, "data", "prepare", "pets", "--from", tmp_path / "pets", "--size", 8, "--data", root
    )
    assert out == f"{root / 'pets'}\n"
    assert load_prepared("pets", "train", root).images.shape[1:] == (8, 8, 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("modles", "Did you mean 'models', 'methods'?"),
        ("models --jsno", "No such option"),
        ("predict", "Missing argument 'MODEL'"),
        (f"predict {MODEL}", "Missing argument 'IMAGE...'"),
        (f"predict {MODEL} nowhere.png", "no such file"),
        (f"predict {MODEL} x.png --threads many", "'--threads'"),
        (f"predict {MODEL} x.png --threads 0", "'--threads'"),
        ("predict eenet8-mnits x.png", f"Did you mean '{MODEL}'?"),
        (f"evaluate {MODEL} --split tset", "Did you mean 'test'?"),
        (f"evaluate {MODEL} --split train", "test or calibration"),
        (f"evaluate {MODEL} --data nowhere", "data prepare mnist"),
        (f"evaluate {MODEL} --policy nowhere.json", "nowhere.json"),
        (f"evaluate {MODEL} --policy p --criterion entropy", "drop one"),
        (f"evaluate {MODEL} --policy p --thresholds 1,1", "drop one"),
        (f"evaluate {MODEL} --criterion entropy", "--thresholds with --criterion entropy"),
        (f"evaluate {MODEL} --criterion entrpy --thresholds 1,1", "Did you mean 'entropy'?"),
        (f"evaluate {MODEL} --thresholds nan,0.5", "to be numbers, but got nan"),
        (f"evaluate {MODEL} --thresholds 1.5,0.5", "in [0, 1], but got 1.5"),
        (f"evaluate {MODEL} --thresholds -0.5,0.5", "in [0, 1], but got -0.5"),
        (f"evaluate {MODEL} --thresholds high,low", "numbers like 0.9,0.8, but got 'high,low'"),
        (f"evaluate {MODEL} --thresholds 0.5", "expected 2 thresholds"),
        (f"evaluate {MODEL} --thresholds 0.5,0.5,0.5", "expected 2 thresholds"),
        (f"evaluate {PLAIN} --criterion confidence --thresholds 1", "has, but got 'confidence'"),
        (f"evaluate {MODEL} --hold-cost 0.3 --policy p", "drop one"),
        (f"evaluate {MODEL} --hold-cost 0.3 --thresholds 1,1", "drop one"),
        (f"evaluate {MODEL} --hold-cost 0.3 --criterion magrin", "Did you mean 'margin'?"),
        (f"evaluate {MODEL} --hold-cost 0.01", "the cheapest reachable costs"),
        (f"predict {PLAIN} x.png --hold-cost 0.3", "early exits to hold a cost with"),
        (f"tune {MODEL}", "--max-drop, --max-risk, --min-accuracy, but got none"),
        (f"tune {MODEL} --min-accuracy 98", "99 % is 0.99"),
        (f"tune {MODEL} --max-risk 0.02 --criterion patience", "reads one exit at a time"),
        ("methods svhn", "a data set with early-exit models"),
        (f"tune {MODEL} --max-cost 1 --max-drop 0", "but got --max-cost and --max-drop"),
        (f"tune {MODEL} --max-drop 1 --split test", "looks better than it is"),
        (f"tune {MODEL} --max-drop 1.5", "one percentage point is 0.01"),
        (f"tune {MODEL} --max-drop nan", "fraction in [0, 1]"),
        (f"tune {MODEL} --max-cost 0", "above 0"),
        (f"tune {MODEL} --max-risk 1.5", "between 0 and 1"),
        (f"tune {MODEL} --max-risk 0.1 --delta 0", "between 0 and 1"),
        (f"tune {MODEL} --max-risk 0.1 --method uvb", "Did you mean 'ucb'?"),
        (f"tune {MODEL} --max-risk 0.1 --risk ruin", "Did you mean 'ruined'?"),
        (f"tune {MODEL} --max-risk 0.0001", "samples"),
        (f"tune {MODEL} --max-cost 1 --criterion magrin", "Did you mean 'margin'?"),
        (f"tune {PLAIN} --max-cost 1", "early exits to tune"),
        ("train eenet8-mnits", "Did you mean 'eenet8-mnist'?"),
        ("train eenet8-mnist --device tpu", "cpu or cuda"),
        (f"bench {MODEL} --batch-size 1,x", "whole numbers like 1,256"),
        (f"bench {MODEL} --batch-size 0", "at least 1"),
        ("data", "Missing command"),
        ("data prepare mnits", "Did you mean 'mnist'?"),
        ("data prepare mnist --size big", "'--size'"),
    ],
)
def test_a_mistake_ends_with_one_line_and_status_2(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *line.split())


def test_a_file_that_cannot_be_written_is_a_mistake(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "policy.json"
    assert "file" in refused(capsys, "tune", MODEL, "--max-cost", 1, "--out", out)


def test_a_fault_of_ours_is_told_apart(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[str]:
        raise KeyError("lost")

    monkeypatch.setattr("core.cli.models.model_folders", broken)
    assert main(["models"]) == 1
    printed = capsys.readouterr()
    assert "our fault" in printed.err
    assert "Traceback" not in printed.err
    monkeypatch.setenv(cli.TRACEBACK, "1")
    assert main(["models"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_what_is_undefined_becomes_null_in_json() -> None:
    text = to_json({"a": float("nan"), "b": [1.0, (float("inf"),)]})
    assert json.loads(text) == {"a": None, "b": [1.0, [None]]}


@pytest.mark.parametrize(
    "command",
    ["", "models", "predict", "evaluate", "tune", "train", "bench", "export", "data prepare"],
)
def test_every_command_has_help(capsys: Capture, command: str) -> None:
    text = shown(capsys, *command.split(), "--help")
    assert text.startswith(f"Usage: python -m core {command}".rstrip())


def test_threads_are_set(capsys: Capture, digits: list[Path]) -> None:
    before = torch.get_num_threads()
    try:
        shown(capsys, "predict", MODEL, digits[0], "--threads", before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_as_a_process_a_closed_pipe_is_silent_and_stdout_is_json_alone() -> None:
    command = [sys.executable, "-m", "core", "models", "--json"]
    whole = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert whole.stderr == ""
    assert json.loads(whole.stdout)["models"]
    reader, writer = os.pipe()
    os.close(reader)
    cut = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (cut.returncode, cut.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device without room")
def test_output_into_a_full_disk_is_a_sentence() -> None:
    command = [sys.executable, "-m", "core", "models", "--json"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: expected room for what is written, or printed")
    assert len(ended.stderr.splitlines()) == 1


def test_user_errors_are_one_line_even_when_their_cause_is_not(capsys: Capture) -> None:
    assert cli.fail(str(UserError("first\nsecond"))) == 2
    assert capsys.readouterr().err == "error: first second\n"


def test_a_table_is_never_cut_off_and_takes_no_markup() -> None:
    name = "[red]photos[/red]/" + 300 * "x" + ".png"
    head, row = table_text([("image", "answer"), (name, "7")]).splitlines()
    assert row == f"{name}  7"
    assert head.index("answer") == row.index("7")


def test_export_writes_a_bundle_that_runs(capsys: Capture, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    options = ("--criterion", "margin", "--thresholds", "0.9,0.8", "--out", folder)
    got = answered(capsys, "export", MODEL, *options)
    assert [stage["threshold"] for stage in got["stages"]] == [0.9, 0.8, None]
    assert "stage-3.onnx" in shown(capsys, "export", MODEL, *options)
    run = [sys.executable, folder / "run.py", "--check"]
    assert "are the same" in subprocess.run(run, capture_output=True, text=True, check=True).stdout
    wrong = ("--criterion", "margin", "--thresholds", "0.9", "--out", folder)
    assert "expected 2 thresholds" in refused(capsys, "export", MODEL, *wrong)


def test_verify_lists_all_that_is_wrong_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(model_folder("eenet8-mnist"), tmp_path / "mine")
    assert main(["verify", str(folder)]) == 0
    assert capsys.readouterr().out == "1 model is sound.\n"
    card = json.loads((folder / "card.json").read_text())
    changed = json.dumps(card | {"std": [-1], "sha256": "x"})
    (folder / "card.json").write_text(changed)
    assert main(["verify", str(folder)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [word for line in lines for word in ("std.0", "sha256", "is not") if word in line]
    assert len(lines) == 3
    assert main(["verify", str(folder), "--json"]) == 2
    assert len(json.loads(capsys.readouterr().out)["models"][str(folder)]) == 2
    assert (folder / "card.json").read_text() == changed


def test_predict_lists_all_broken_pictures_or_goes_on_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, empty, page = (tmp_path / name for name in ("good.png", "empty.png", "page.jpg"))
    Image.new("L", (28, 28)).save(good)
    empty.touch()
    page.write_text("<!DOCTYPE html>")
    arguments = ["predict", "eenet8-mnist", *map(str, (good, empty, page))]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    for part in ("empty.png (it is empty)", "page.jpg (it is a web page)", "--skip-broken"):
        assert part in error
    assert main([*arguments, "--skip-broken", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["images"]
    assert [answer["image"] for answer in answers] == [str(good)]
