"""Heads: what stands at an exit and turns a stage's features into an answer.

The three EENet exit blocks (Demir & Akbas, arXiv 2409.05336) differ in what their softmax branch
and confidence branch read: the flattened features, their global average, or the average after
batch norm and ReLU.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from core.registry import Registry


@dataclass(frozen=True)
class HeadOutput:
    """What a head says.

    Attributes:
        logits: (B, K).
        confidence_logit: (B,), or None for a head without a confidence branch.
    """

    logits: Tensor
    confidence_logit: Tensor | None


Reader = Callable[[tuple[int, int, int]], tuple[nn.Module, int]]
"""Maps a feature shape (C, H, W) to a module (B, C, H, W) → (B, D), and D."""

HEADS: Registry[Reader] = Registry("head")


@HEADS.register("plain")
def plain(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """Read every feature, flattened."""
    channels, height, width = shape
    return nn.Flatten(), channels * height * width


@HEADS.register("pool")
def pool(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """Read each channel's global average."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), shape[0]


@HEADS.register("bnpool")
def bnpool(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """Read each channel's global average after batch norm and ReLU."""
    reader = OrderedDict(
        norm=nn.BatchNorm2d(shape[0]),
        relu=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
    )
    return nn.Sequential(reader), shape[0]


class Head(nn.Module):
    """A softmax branch and, for an early exit that learns when to stop, a confidence branch."""

    def __init__(
        self, kind: str, shape: tuple[int, int, int], num_classes: int, confidence: bool
    ) -> None:
        """Make a head of a registered ``kind`` for features of ``shape`` (C, H, W)."""
        super().__init__()
        self.reader, width = HEADS[kind](shape)
        self.softmax_branch = nn.Linear(width, num_classes)
        self.confidence_branch = nn.Linear(width, 1) if confidence else None

    def forward(self, features: Tensor) -> HeadOutput:
        """Map a stage's features (B, C, H, W) to logits (B, K) and a confidence logit (B,)."""
        read = self.reader(features)
        confidence = None
        if self.confidence_branch is not None:
            confidence = self.confidence_branch(read).squeeze(1)
        return HeadOutput(self.softmax_branch(read), confidence)
