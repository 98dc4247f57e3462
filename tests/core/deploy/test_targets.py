"""What the benchmark of inference says about its targets."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.inference import Measured, engine_row, runtime_rows, target_row, target_rows
from benchmarks.official_eenet import share_out
from core.deploy.benchmark import Latency


def latency(seconds: float) -> Latency:
    return Latency((seconds,), 1)


def measured(batch: int, cost: float = 0.5) -> Measured:
    by = {
        ("torch", "float32"): (latency(2.0), latency(1.2)),
        ("torch", "bfloat16"): (latency(1.0), latency(0.5)),
        ("openvino", "bfloat16"): (latency(0.5), latency(0.4)),
    }
    return Measured(
        "net",
        batch,
        (latency(4.0), latency(3.0)),
        by,
        cost,
        dict.fromkeys(("float32", "bfloat16"), 0.7),
    )


def test_time_saved_counts_in_units_of_the_macs_saved() -> None:
    assert measured(256).saved("float32") == pytest.approx(0.8)
    assert measured(256).saved("bfloat16") == pytest.approx(1)
    assert math.isnan(measured(256, cost=1.0).saved("float32"))
    assert engine_row(measured(256, cost=1.0))[6] == "–"


def test_a_target_shows_the_spread_and_how_many_reach_it() -> None:
    assert target_row("faster", 2, [1.5, 2.0, 4.0]) == [
        *("faster", "2.00", "2.00 (1.50 to 4.00)", "2 of 3")
    ]
    assert target_row("faster", 2, [math.nan, 3.0])[2:] == ["3.00 (3.00 to 3.00)", "1 of 1"]
    assert target_row("faster", 2, []) == ["faster", "2.00", "not measured here", "–"]


def test_every_target_has_its_ratio_on_the_device_that_was_measured() -> None:
    on_cpu = target_rows([measured(256), measured(1)], "cpu", [2.0])
    said = {row[0]: row[2] for row in on_cpu}
    assert said["CPU, 256 at once: bfloat16 against as built"].startswith("4.00")
    assert said["CPU, one image: the best exported runtime against as built"].startswith("8.00")
    assert said["CPU: training against a plain torchvision loop"].startswith("2.00")
    assert [row for row in on_cpu if row[0].startswith("GPU") and row[3] != "–"] == []
    on_gpu = target_rows([measured(size) for size in (1, 64, 4096)], "cuda", [2.0])
    said = {row[0]: row[2] for row in on_gpu}
    assert said["GPU, 64 and more at once: with the policy against plain"].startswith("1.67")
    assert said["GPU, 4,096 at once: time saved of MACs saved"].startswith("0.80")
    assert said["GPU, one image: with the policy against as built"].startswith("2.50")
    assert {row[0] for row in on_gpu} == {row[0] for row in on_cpu}


def test_percentiles_are_of_single_images_alone() -> None:
    assert [row[5] for row in runtime_rows(measured(64))] == ["–"] * 4
    assert next(row[5] for row in runtime_rows(measured(1))) == "4000.00 · 4000.00"


def test_equally_many_images_leave_at_each_exit_of_the_authors_network() -> None:
    branches = [nn.Linear(1, 1) for _ in range(3)]
    for branch in branches:
        nn.init.zeros_(branch.bias)
    theirs = SimpleNamespace(
        exit_threshold=0.5, exits=[SimpleNamespace(confidence=[branch]) for branch in branches]
    )
    logits = np.random.default_rng(0).normal((0, 5, -5), 1, (400, 3)).astype(np.float32)
    share_out(theirs, 1 / (1 + np.exp(-logits)))
    shifts = torch.cat([branch.bias.detach() for branch in branches]).numpy()
    leaves = np.hstack([logits + shifts > 0, np.ones((400, 1), bool)])
    np.testing.assert_allclose(np.bincount(leaves.argmax(axis=1)), 100, atol=2)
