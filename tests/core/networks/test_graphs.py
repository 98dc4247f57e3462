"""Recorded graphs at padded sizes, with a stand-in that records on any device."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from core.exits.inference import Engine, run_all_exits, run_with_skipping
from core.exits.policy import Policy
from core.networks.cost import count
from core.networks.graphs import Function, GraphedStages, Graphs, Outputs, padded
from core.networks.normalisation import Normalisation
from tests.core.networks.small import network, noise

NORMALISATION = Normalisation((0.5,), (0.25,))


class Recorder:
    """Records as a GPU does: outputs stay where they are and are overwritten."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, function: Function, example: Tensor) -> Callable[[], Outputs]:
        self.sizes.append(len(example))
        outputs = tuple(output.clone() for output in function(example))

        def replay() -> Outputs:
            for output, new in zip(outputs, function(example), strict=True):
                output.copy_(new)
            return outputs

        return replay


def test_sizes_are_powers_of_two_up_to_the_largest_graph() -> None:
    assert [padded(rows, 16) for rows in (1, 2, 3, 5, 16, 17, 100)] == [1, 2, 4, 8, 16, 17, 100]


def test_a_graph_is_recorded_once_for_each_size_and_its_outputs_are_kept() -> None:
    record = Recorder()
    graphs = Graphs(lambda x: (2 * x, x + 1), 8, record)
    given = [torch.randn(rows, 3) for rows in (5, 7, 8, 3, 9, 5)]
    got = [graphs(features) for features in given]
    for features, (twice, more) in zip(given, got, strict=True):
        assert torch.equal(twice, 2 * features)
        assert torch.equal(more, features + 1)
    assert record.sizes == [8, 4]


def test_what_cannot_be_recorded_runs_as_it_is() -> None:
    def refuse(function: Function, example: Tensor) -> Callable[[], Outputs]:
        raise RuntimeError("operation not permitted when stream is capturing")

    graphs = Graphs(lambda x: (2 * x,), 8, refuse)
    for rows in (3, 4):
        assert torch.equal(graphs(torch.ones(rows, 2))[0], torch.full((rows, 2), 2.0))


def test_threads_may_share_graphs() -> None:
    graphs = Graphs(lambda x: (x * x,), 64, Recorder())
    wrong: list[int] = []

    def run(value: int) -> None:
        for rows in range(1, 60):
            (got,) = graphs(torch.full((rows, 2), float(value)))
            if not bool((got == value * value).all()):
                wrong.append(value)

    threads = [threading.Thread(target=run, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("batch_size", [1, 13, 50])
def test_a_network_answers_the_same_by_graphs(batch_size: int) -> None:
    made, images = network(), noise(50)
    record = Recorder()
    stages = GraphedStages(made, 32, record)
    probabilities, _ = run_all_exits(made, NORMALISATION.batches(images, 50))
    thresholds = np.quantile(probabilities[:, :2].max(axis=2), 0.6, axis=0) + 1e-4
    policy = Policy("max_probability", tuple(thresholds.tolist()))
    runs = [
        run_with_skipping(
            one, NORMALISATION.batches(images, batch_size), policy, count(made, 1, 28).costs, **how
        )
        for one, how in ((made, {}), (stages, {"engine": Engine(largest_graph=32)}))
    ]
    plain, graphed = runs
    assert len(set(plain.exits)) == 3
    np.testing.assert_array_equal(graphed.exits, plain.exits)
    np.testing.assert_allclose(graphed.probabilities, plain.probabilities, atol=1e-6)
    assert set(record.sizes) <= {1, 2, 4, 8, 16, 32}


def test_batches_shrink_only_where_that_saves_a_size() -> None:
    graphs = Engine(largest_graph=64)
    assert not graphs.drops(64, 33)
    assert graphs.drops(64, 32)
    assert graphs.drops(100, 64)
    assert not graphs.drops(1000, 900)
    assert graphs.drops(1000, 800)
    assert Engine().drops(64, 33)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_graphs_of_a_gpu_answer_as_the_network() -> None:
    made = network().to("cuda").to(memory_format=torch.channels_last)
    stages = GraphedStages(made, 32)
    images = torch.randn(20, 1, 28, 28, device="cuda")
    with torch.inference_mode():
        for rows in (20, 17, 3):
            features = made.stage(0, images[:rows])
            torch.testing.assert_close(stages.stage(0, images[:rows]), features, atol=1e-3, rtol=0)
            logits = made.head(0, features).logits
            torch.testing.assert_close(stages.head(0, features).logits, logits, atol=1e-3, rtol=0)
