"""Recorded steps, with a stand-in that records on any device."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from core.networks.graphs import Outputs
from core.training.loop import Trainer
from core.training.recorded import WARM_UP, RecordedSteps
from tests.core.training.test_loop import PHASES
from tests.core.training.tiny import bars, same_weights, tiny_recipe

CPU = torch.device("cpu")
SETS = bars(128, 0), bars(64, 1)


class Recorder:
    """Does nothing while it records, and what it recorded at every replay, as a GPU."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, run: Callable[[], Outputs]) -> Callable[[], Outputs]:
        self.recorded += 1

        def replay() -> Outputs:
            self.replayed += 1
            return run()

        return replay


def trained(phases: Any, steps: RecordedSteps | None) -> Trainer:
    trainer = Trainer.of_recipe(tiny_recipe(phases), *SETS, CPU)
    trainer.steps = steps
    for _ in range(trainer.settings.epochs):
        trainer.train_epoch()
    return trainer


@pytest.mark.parametrize("phases", PHASES.values(), ids=PHASES)
def test_recorded_steps_give_the_same_weights_bit_for_bit(phases: list[dict[str, Any]]) -> None:
    recorder = Recorder()
    recorded = trained(phases, RecordedSteps(recorder))
    plain = trained(phases, None)
    same_weights(recorded.network, plain.network)
    assert [report.loss for report in recorded.history] == [report.loss for report in plain.history]
    kinds = sum(2 if phase.get("then") else 1 for phase in phases)
    alike = len({repr(phase) for phase in phases}) < len(phases)
    assert recorder.recorded == (1 if alike else kinds)
    steps = plain.settings.epochs * plain.train.steps
    assert recorder.replayed == steps - WARM_UP * recorder.recorded


def test_a_step_that_cannot_be_recorded_runs_as_it_is() -> None:
    def refuse(run: Callable[[], Outputs]) -> Callable[[], Outputs]:
        raise RuntimeError("operation not permitted when stream is capturing")

    phases = PHASES["v0 with momentum"]
    refused = trained(phases, RecordedSteps(refuse))
    same_weights(refused.network, trained(phases, None).network)
