import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data.samples import load_samples
from core.deploy.benchmark import (
    FEWEST_IMAGES,
    Latency,
    latencies,
    measure_speedups,
    median_seconds_of_each,
    time_models,
    time_parts,
    time_stages,
)
from core.deploy.onnx_file import EXTRA
from core.deploy.runtimes import configurations, installed, opened
from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.hub.model import load

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)


class Clock:
    """A clock that stands still but for what is done to it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


def test_all_run_in_turns_after_a_warm_up_and_the_median_counts() -> None:
    clock = Clock()
    calls: list[str] = []
    times = {"a": iter([99.0, 2.0, 50.0, 1.0]), "b": iter([99.0, 8.0, 4.0, 6.0])}

    def run(name: str) -> None:
        calls.append(name)
        clock.passes(next(times[name]))

    runs = [partial(run, "a"), partial(run, "b")]
    assert median_seconds_of_each(runs, repeats=3, clock=clock) == [2, 6]
    assert calls == ["a", "b"] * 4


class Timed:
    """A model whose stages take 1, 2, 3 s, its heads 10, 20, 30 s, by a clock of its own."""

    device = torch.device("cpu")
    dtype = torch.float32
    num_exits = 3

    def __init__(self, clock: Clock, whole: float = 0.0) -> None:
        self.clock, self.whole = clock, whole
        self.seen: list[tuple[int, int]] = []

    @property
    def network(self) -> Any:
        return self

    def normalised(self, images: np.ndarray) -> torch.Tensor:
        return torch.zeros(len(images))

    def stage(self, index: int, features: torch.Tensor) -> torch.Tensor:
        assert int(features[0]) == index  # each gets what the stage before it made
        self.clock.passes(1 + index)
        return features + 1

    def head(self, index: int, features: torch.Tensor) -> None:
        assert int(features[0]) == index + 1
        self.clock.passes(10 * (1 + index))

    def predict(self, images: np.ndarray, policy: Policy, batch_size: int) -> Any:
        self.seen.append((len(images), batch_size))
        self.clock.passes(self.whole)


def test_each_configuration_is_timed_on_the_same_images() -> None:
    clock = Clock()
    models = [Timed(clock, whole) for whole in (FEWEST_IMAGES * 3.0, FEWEST_IMAGES * 1.5)]
    policy = Policy("margin", [0, 0])
    timing = time_models([(model, policy) for model in models], IMAGES, 64, 2, clock)
    assert (timing.batch_size, timing.images) == (64, FEWEST_IMAGES)
    assert timing.seconds == (3, 1.5)
    assert timing.ratio == 0.5
    assert timing.to_dict() == {"plain_ms": 3000, "early_exit_ms": 1500, "time_ratio": 0.5}
    assert [model.seen for model in models] == [[(FEWEST_IMAGES, 64)] * 3] * 2


def test_every_part_of_a_network_is_timed_by_itself() -> None:
    clock = Clock()
    times = time_parts(Timed(clock), IMAGES, batch_size=2, repeats=3, clock=clock)
    assert times.stages == (0.5, 1, 1.5)
    assert times.heads == (5, 10, 15)
    assert times.plain == (1 + 2 + 3 + 30) / 2
    assert times.stage_shares == tuple(stage / 18 for stage in (0.5, 1, 1.5))


def test_a_policy_for_another_network_cannot_be_timed() -> None:
    with pytest.raises(UserError, match="thresholds"):
        time_models([(load("eenet8-mnist"), Policy("margin", [0.5]))], IMAGES, 64, 1)


def test_latencies_are_medians_batch_by_batch_in_turns() -> None:
    clock = Clock()
    calls: list[tuple[str, int, int]] = []

    def run(name: str, images: np.ndarray, batch_size: int) -> None:
        calls.append((name, len(images), batch_size))
        clock.passes((10 if name == "b" else 1) * (99 if len(calls) < 7 else 1))  # first round

    size = FEWEST_IMAGES // 2
    a, b = latencies([partial(run, "a"), partial(run, "b")], IMAGES, size, 3, clock)
    assert calls == [(name, size, size) for name in "ab"] * 7
    assert (a.batches, b.batches) == ((1, 1), (10, 10))
    assert (a.images, a.per_image) == (FEWEST_IMAGES, 2 / FEWEST_IMAGES)
    assert Latency((1, 2, 3, 4, 5), 5).percentile(50) == 3


def test_runtimes_are_timed_with_and_without_exits_and_the_cost_is_of_the_very_images() -> None:
    model, policy = load("eenet8-mnist"), Policy("entropy", (0.5, 0.5), (True, False))
    chosen = configurations(["torch", "onnx", "openvino"], ["float32", "bfloat16"])
    found = measure_speedups(model, policy, IMAGES, (1, 130), chosen, threads=1, repeats=1)
    names = [(one.runtime, one.precision, one.batch_size) for one in found]
    pairs = [("torch", "float32"), ("torch", "bfloat16"), ("onnx", "float32")]
    pairs += [("openvino", "float32"), ("openvino", "bfloat16")]
    assert names == [(*pair, size) for size in (1, 130) for pair in pairs]
    assert [one.plain.images for one in found] == [FEWEST_IMAGES] * 5 + [130] * 5
    ran = IMAGES[np.arange(130) * len(IMAGES) // 130]
    assert found[-1].relative_cost == pytest.approx(model.predict(ran, policy).costs.mean())
    figures = found[0].to_dict()
    assert figures["time_ratio"] == figures["early_exit_ms"] / figures["plain_ms"]
    assert figures["plain_p50_ms"] <= figures["plain_p95_ms"]


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_other_runtimes_answer_as_torch_does(name: str) -> None:
    model, policy = load("eenet8-mnist"), Policy("margin", (0.9, 0.8))
    images = load_samples("mnist").images[:200]
    with opened(model, policy, configurations([name], ["float32"]), images, 1) as (run,):
        got: Any = run(images, 64)
    expected = model.predict(images, policy)
    assert len(set(expected.exits)) == 3
    np.testing.assert_array_equal(got.labels, expected.labels)
    np.testing.assert_array_equal(got.exits, expected.exits)


def test_every_stage_is_timed_in_every_runtime() -> None:
    found = time_stages(
        load("eenet8-mnist"), IMAGES, 2, installed(single_stages=True), threads=1, repeats=1
    )
    names = [(one.runtime, one.precision) for one in found]
    assert names == [
        *(("PyTorch", "float32"), ("ONNX Runtime", "float32")),
        *(("OpenVINO", "float32"), ("OpenVINO", "bfloat16")),
    ]
    assert all(len(one.stages) == 3 and min(one.stages) > 0 for one in found)


def test_runtimes_and_precisions_that_are_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UserError, match="tensorrt"):
        configurations(["tensorrt"], ["float32"])
    with pytest.raises(UserError, match="Did you mean 'bfloat16'"):
        configurations(["torch"], ["bfloat"])
    with pytest.raises(UserError, match="the runtime onnx has"):
        configurations(["onnx"], ["bfloat16"])
    monkeypatch.setitem(EXTRA, "openvino", ("no_such_package",))
    with pytest.raises(UserError, match="pip install no_such_package"):
        configurations(["openvino"], ["float32"])


SIGNAL_AFTER_TWO_STAGES = """
import signal, sys
import numpy as np
import openvino
from openvino import opset13
from core.deploy.runtimes import RUNTIMES
picture = opset13.parameter([1, 4], np.float32)
openvino.save_model(openvino.Model([opset13.relu(picture)], [picture]), sys.argv[1])
open_stage = RUNTIMES["openvino"].stage
stages = [open_stage(sys.argv[1], {"outputs": {"it": {}}}, "float32", 1) for _ in range(2)]
while stages:
    stages.pop(0)
signal.signal(signal.SIGUSR1, lambda number, frame: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""


def test_a_signal_after_stages_of_openvino_were_closed_is_handled(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    command = [sys.executable, "-X", "faulthandler", "-c", SIGNAL_AFTER_TWO_STAGES]
    ended = subprocess.run([*command, tmp_path / "relu.xml"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr
