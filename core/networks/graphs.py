"""Stages and heads as recorded graphs: their kernels are launched at once, at fixed batch sizes.

On a GPU a small batch waits for launches, not for arithmetic. A graph is recorded for one shape, so
batches are padded to powers of two; large ones, for which launches do not count, run as they are.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from core.networks.heads import HeadOutput
from core.networks.network import ExitNetwork

Outputs = tuple[Tensor, ...]
Function = Callable[[Tensor], Outputs]
Capture = Callable[[Callable[[], Outputs]], Callable[[], Outputs]]
"""Records what a function does, without doing it. Returns what does it, with the same tensors."""
Recorder = Callable[[Function, Tensor], Callable[[], Outputs]]
"""Records what a function does with a tensor. Returns what computes the outputs from what the
tensor then holds, in the same place each time."""


def padded(rows: int, largest: int) -> int:
    """Return the next power of two; rows beyond the largest graph are left as they are."""
    return rows if rows > largest else 1 << (rows - 1).bit_length()


def capture_on_gpu(run: Callable[[], Outputs]) -> Callable[[], Outputs]:
    """Record a CUDA graph, see `Capture`; libraries must have chosen their kernels before."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()

    def replay() -> Outputs:
        graph.replay()
        return outputs

    return replay


def record_on_gpu(function: Function, example: Tensor) -> Callable[[], Outputs]:
    """Record a CUDA graph, see `Recorder`."""
    aside: Any = torch.cuda.Stream(example.device)  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream(example.device))
    with torch.cuda.stream(aside):
        for _ in range(3):  # libraries choose their kernels, which cannot be recorded
            function(example)
    torch.cuda.current_stream(example.device).wait_stream(aside)
    return capture_on_gpu(lambda: function(example))


class Graphs:
    """A function of rows, each by itself, as one graph per padded number of them.

    Threads may share it. What it returns is a copy, which the next call leaves as it is. A function
    that cannot be recorded runs as it is.
    """

    def __init__(self, function: Function, largest: int, record: Recorder) -> None:
        """Take a function of features (B, …) to tensors (B, …), and the most rows of a graph."""
        self.function, self.largest, self.record = function, largest, record
        self._lock = threading.Lock()
        self._known: dict[int, tuple[Tensor, Callable[[], Outputs]]] = {}

    def __call__(self, features: Tensor) -> Outputs:
        """Run the graph of the next size; record it if it is not known."""
        rows = len(features)
        if rows > self.largest:
            return self.function(features)
        with self._lock:
            size = padded(rows, self.largest)
            if size not in self._known:
                example = features[:1].repeat(size, *[1] * (features.dim() - 1))
                if features.dim() == 4:
                    example = example.contiguous(memory_format=torch.channels_last)
                try:
                    self._known[size] = example, self.record(self.function, example)
                except RuntimeError:  # it asks the device for a value, for example
                    self.largest = 0
                    return self.function(features)
            example, replay = self._known[size]
            example[:rows] = features
            return tuple(output[:rows].clone() for output in replay())


class GraphedStages:
    """The stages and heads of a network in eval mode, each as graphs; see `Stages`."""

    def __init__(
        self, network: ExitNetwork, largest: int, record: Recorder = record_on_gpu
    ) -> None:
        """Take a network on its device, and the most rows that run as a graph."""
        self.num_exits, self.dtype = network.num_exits, network.dtype

        def stage(index: int, features: Tensor) -> Outputs:
            return (network.stage(index, features),)

        def head(index: int, features: Tensor) -> Outputs:
            output = network.head(index, features)
            confidence = output.confidence_logit
            return (output.logits,) if confidence is None else (output.logits, confidence)

        self._stages, self._heads = (
            [Graphs(partial(each, index), largest, record) for index in range(self.num_exits)]
            for each in (stage, head)
        )

    def stage(self, index: int, features: Tensor) -> Tensor:
        """Run a stage, as `ExitNetwork.stage` does."""
        return self._stages[index](features)[0]

    def head(self, index: int, features: Tensor) -> HeadOutput:
        """Run a head, as `ExitNetwork.head` does."""
        logits, *confidence = self._heads[index](features)
        return HeadOutput(logits, confidence[0] if confidence else None)
