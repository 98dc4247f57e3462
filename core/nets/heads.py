"""Heads: what stands at an exit and turns a stage's features into an answer.

The three EENet exit blocks (Demir & Akbas, arXiv 2409.05336) differ in what their softmax branch
and confidence branch read: the flattened features, their global average, or the average after
batch norm and ReLU.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
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


def _convolutions(depth: int) -> Reader:
    def read(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = shape[0]
        for index in range(depth):
            layers[f"conv{index}"] = nn.Conv2d(channels, 2 * channels, 3, 2, 1, bias=False)
            layers[f"norm{index}"] = nn.BatchNorm2d(2 * channels)
            layers[f"relu{index}"] = nn.ReLU()
            channels *= 2
        layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        return nn.Sequential(layers), channels

    return read


for _depth in (1, 2, 3):
    # Stride 2 and twice the channels each: every layer costs the same. Early features are no
    # objects yet; a few layers of its own let an exit make some (PTEENet, arXiv 2501.02508).
    HEADS.register(f"conv{_depth}")(_convolutions(_depth))


class Head(nn.Module):
    """A softmax branch and, for an early exit that learns when to stop, a confidence branch.

    In the paper the confidence branch sees the features alone, and being linear it cannot even
    tell how sure the softmax branch is. With ``knows_answer`` it also reads a summary of the
    answer (`answer_summary`), which makes it at least as able as max probability, entropy and
    margin.
    """

    def __init__(
        self,
        kind: str,
        shape: tuple[int, int, int],
        num_classes: int,
        confidence: bool,
        knows_answer: bool = False,
    ) -> None:
        """Make a head of a registered ``kind`` for features of ``shape`` (C, H, W)."""
        super().__init__()
        self.reader, width = HEADS[kind](shape)
        self.softmax_branch = nn.Linear(width, num_classes)
        self.knows_answer = knows_answer
        inputs = width + ANSWER_FEATURES * knows_answer
        self.confidence_branch = nn.Linear(inputs, 1) if confidence else None

    def forward(self, features: Tensor) -> HeadOutput:
        """Map a stage's features (B, C, H, W) to logits (B, K) and a confidence logit (B,)."""
        read = self.reader(features)
        logits = self.softmax_branch(read)
        if self.confidence_branch is None:
            return HeadOutput(logits, None)
        if self.knows_answer:
            read = torch.cat([read, answer_summary(logits.detach()).to(read.dtype)], dim=1)
        return HeadOutput(logits, self.confidence_branch(read).squeeze(1))


ANSWER_FEATURES = 3


def answer_summary(logits: Tensor) -> Tensor:
    """Tell how sure an answer is: logits (B, K) to (B, 3).

    The log odds of the likeliest class, the logit gap to the runner-up (both at most 20) and the
    entropy in units of ln K.
    """
    log_probabilities = logits.float().log_softmax(dim=1)
    best, second = log_probabilities.topk(2, dim=1).values.unbind(dim=1)
    rest = torch.log1p(-best.exp().clamp(max=1 - 1e-7))
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1) / math.log(logits.shape[1])
    return torch.stack([(best - rest).clamp(max=20), (best - second).clamp(max=20), entropy], 1)
