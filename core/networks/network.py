"""The early-exit network: a trunk cut into stages, with a head after each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from core.foundation.errors import UserError, nearest
from core.networks.heads import Head, HeadOutput
from core.networks.spec import NetworkSpec
from core.networks.trunk import Trunk, key


@dataclass(frozen=True)
class Outputs:
    """The outputs of every exit.

    Attributes:
        logits: (B, E, K).
        confidence_logits: (B, E−1), or None for a network without confidence branches.
    """

    logits: Tensor
    confidence_logits: Tensor | None


class Stages(Protocol):
    """The stages and heads of a network, one by one: an `ExitNetwork`, or another way to run it."""

    @property
    def num_exits(self) -> int:
        """E, the final head included."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of numbers that it computes with."""

    def stage(self, index: int, features: Tensor) -> Tensor:
        """Run stage ``index`` on images (B, C, H, W), or on what the stage before put out."""

    def head(self, index: int, features: Tensor) -> HeadOutput:
        """Run the head of exit ``index`` on what its stage put out."""


class ExitNetwork(nn.Module):
    """A trunk with an early exit after each named block and the classifier at its end.

    With no early exits it is the *plain* network. Heads are children under their block's name
    ("heads.stage1_3", "heads.final"), so weights fit between networks of the same trunk.

    Attributes:
        training_result: the facts of its training (`core.training.loop.TrainingResult`) where
            `core.fit` trained it, else None.
    """

    training_result: Any = None

    def __init__(
        self,
        trunk: Trunk,
        exits: Sequence[int],
        heads: Sequence[Head],
        final: nn.Module,
        spec: NetworkSpec | None = None,
    ) -> None:
        """Put ``heads[i]`` after block ``exits[i]`` of ``trunk`` and ``final`` at its end.

        ``spec`` is what the network is built from, None for a trunk made by hand.
        """
        super().__init__()
        self.trunk = trunk
        self.exit_names = (*(trunk.names[index] for index in exits), "final")
        self.heads = nn.ModuleDict(
            dict(zip(map(key, self.exit_names), (*heads, final), strict=True))
        )
        stops = (*(index + 1 for index in exits), len(trunk.names))
        self.stage_ranges = tuple(zip((0, *stops[:-1]), stops, strict=True))
        names = {"exits": self.exit_names[:-1], "placement": None, "num_early": 0}
        self._spec = spec and spec.model_copy(update=names)

    @property
    def spec(self) -> NetworkSpec:
        """How to build the network again, its exits by their names.

        Raises:
            UserError: it was not built from a specification.
        """
        if self._spec is None:
            raise UserError(
                "expected a network that can be built again from a card, but this one's trunk was "
                "made by hand: register the trunk (core.networks.trunk.TRUNKS) and build it."
            )
        return self._spec

    @property
    def num_exits(self) -> int:
        """E, the final head included."""
        return len(self.exit_names)

    @property
    def dtype(self) -> torch.dtype:
        """Type of numbers that it computes with."""
        return next((tensor.dtype for tensor in self.parameters()), torch.float32)

    def stage(self, index: int, features: Tensor) -> Tensor:
        """Run stage ``index`` on images (B, C, H, W), or on what the stage before put out."""
        start, stop = self.stage_ranges[index]
        return self.trunk.run(features, start, stop)

    def head(self, index: int, features: Tensor) -> HeadOutput:
        """Run the head of exit ``index`` on what its stage put out."""
        if index < self.num_exits - 1:
            features = self.to_map(index, features)
        output = self.heads[key(self.exit_names[index])](features)
        assert isinstance(output, HeadOutput)
        return output

    def to_map(self, index: int, features: Tensor) -> Tensor:
        """Return what stage ``index`` put out as maps (B, C, H, W)."""
        return self.trunk.layouts[self.stage_ranges[index][1] - 1].to_map(features)

    def forward(self, images: Tensor) -> Outputs:
        """Run everything, skipping nothing: images (B, C, H, W) to logits (B, E, K)."""
        return self.rest((images,), 0)

    def start(self, images: Tensor, blocks: int) -> tuple[Tensor, ...]:
        """Run the first ``blocks`` blocks of the trunk, and no head.

        Returns:
            What each exit among these blocks reads, then what the last of them put out.
        """
        kept, features, done = [], images, 0
        for _, stop in self.stage_ranges:
            if stop <= blocks:
                features, done = self.trunk.run(features, done, stop), stop
                kept.append(features)
        return (*kept, self.trunk.run(features, done, blocks))

    def rest(self, kept: Sequence[Tensor], blocks: int) -> Outputs:
        """Run what `start` left: the other blocks, and all heads."""
        logits, confidences = [], []
        features, done = kept[-1], blocks
        for index, (_, stop) in enumerate(self.stage_ranges):
            if stop > blocks:
                features, done = self.trunk.run(features, done, stop), stop
            output = self.head(index, features if stop > blocks else kept[index])
            logits.append(output.logits)
            if output.confidence_logit is not None:
                confidences.append(output.confidence_logit)
        return Outputs(
            torch.stack(logits, dim=1), torch.stack(confidences, dim=1) if confidences else None
        )


def exit_indices(trunk: Trunk, names: Sequence[str]) -> tuple[int, ...]:
    """Return the block index of each named early exit.

    Raises:
        UserError: a name is unknown, repeated, out of order or not a place for an exit.
    """
    free = [
        name for name, allowed in zip(trunk.names[:-1], trunk.exit_allowed, strict=False) if allowed
    ]
    if names and not free:
        raise UserError(
            "expected a backbone with blocks that an early exit may follow, but it has none: "
            "leave `exits` empty or choose another backbone."
        )
    names = [trunk.aliases.get(name, name) for name in names]
    for name in names:
        if name not in free:
            raise UserError(
                f"expected `exits` to name blocks that an early exit may follow, but got {name!r}."
                f"{nearest(name, free)} Possible: {', '.join(free)}."
            )
    indices = tuple(trunk.names.index(name) for name in names)
    if list(indices) != sorted(set(indices)):
        raise UserError(
            f"expected `exits` to name each block once, from first to last, "
            f"but got {', '.join(names)}."
        )
    return indices
