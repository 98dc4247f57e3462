"""Training steps as recorded graphs: their kernels are launched at once.

On a GPU a step of a small network waits for launches, not for arithmetic. A recorded step reads
its batch, the weights and the learning rate where they were when it was recorded; so batches are
copied there, and everything else stays where it is.
"""

from collections.abc import Callable, Hashable

from torch import Tensor

from core.networks.graphs import Capture, capture_on_gpu
from core.training.data import Batch

Step = Callable[[Batch], Tensor]
"""Learns from a batch and returns its loss."""
WARM_UP = 3
"""Steps that run as they are, before one is recorded: libraries choose their kernels meanwhile."""


class RecordedSteps:
    """Steps on batches of one shape, each kind recorded once; the same weights as without.

    A step that cannot be recorded, because it asks the device for a value, runs as it is.
    """

    def __init__(self, capture: Capture = capture_on_gpu) -> None:
        """Take what records a graph."""
        self.capture = capture
        self._known: dict[Hashable, _Recorded] = {}

    def forget(self) -> None:
        """Free all graphs, whose steps will not come again."""
        self._known.clear()

    def run(self, kind: Hashable, step: Step, batch: Batch) -> Tensor:
        """Learn from a batch by a step of some kind; return its loss."""
        key = kind, tuple(part.shape for part in batch.tensors())
        recorded = self._known.setdefault(key, _Recorded(step, self.capture))
        return recorded(batch)


class _Recorded:
    """A step for batches of one shape."""

    def __init__(self, step: Step, capture: Capture) -> None:
        self.step, self.capture = step, capture
        self.before = WARM_UP
        self.example: Batch | None = None
        self.replay: Callable[[], tuple[Tensor, ...]] | None = None

    def __call__(self, batch: Batch) -> Tensor:
        if self.before:
            self.before -= 1
            return self.step(batch)
        if self.example is None:
            self.example = example = batch.copy()
            try:
                self.replay = self.capture(lambda: (self.step(example),))
            except RuntimeError:
                self.replay = None
        if self.replay is None:
            return self.step(batch)
        for place, part in zip(self.example.tensors(), batch.tensors(), strict=True):
            place.copy_(part)
        return self.replay()[0].clone()
