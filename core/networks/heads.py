"""Heads: what stands at an exit and turns a stage's features into an answer.

The three EENet exit blocks (Demir & Akbas, arXiv 2409.05336) differ in what their softmax branch
and confidence branch read: the flattened features, their global average, or the average after
batch norm and ReLU.
"""

import copy
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.foundation.errors import UserError
from core.foundation.registry import Registry
from core.networks.confidence import CONFIDENCE_INPUTS
from core.networks.residual import ResidualPair, unit


@dataclass(frozen=True)
class HeadOutput:
    """The outputs of a head.

    Attributes:
        logits: (B, K).
        confidence_logit: (B,), or None for a head without a confidence branch.
    """

    logits: Tensor
    confidence_logit: Tensor | None


Reader = Callable[[tuple[int, int, int]], tuple[nn.Module, int]]
"""Maps a feature shape (C, H, W) to a module (B, C, H, W) → (B, D), and D."""

HEADS: Registry[Reader] = Registry("head", plugins=True)


class Scale(nn.Module):
    """Multiply by a constant."""

    def __init__(self, factor: float) -> None:
        """Multiply by ``factor``."""
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """Map any shape to the same."""
        return features * self.factor


@HEADS.register("plain")
def plain(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """Read every feature, flattened."""
    channels, height, width = shape
    return nn.Flatten(), channels * height * width


@HEADS.register("pool")
def pool(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """Read each channel's global average."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), shape[0]


@HEADS.register("maxpool")
def maxpool(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """Read a ninth of each channel's global maximum (airbench: Jordan, arXiv 2404.00498).

    Maxima are large; a classifier that reads them learns too fast to be stable.
    """
    return nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), Scale(1 / 9)), shape[0]


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


def _strided(widths: Sequence[int]) -> Reader:
    def read(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = shape[0]
        for index, width in enumerate(widths):
            layers[f"conv{index}"] = nn.Conv2d(channels, width, 3, 2, 1, bias=False)
            layers[f"norm{index}"] = nn.BatchNorm2d(width)
            layers[f"relu{index}"] = nn.ReLU()
            channels = width
        layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        return nn.Sequential(layers), channels

    return read


def _doubling(depth: int) -> Reader:
    def read(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
        return _strided([shape[0] * 2**number for number in range(1, depth + 1)])(shape)

    return read


for _depth in (1, 2, 3):
    # Stride 2 and twice the channels each: every layer costs the same. Early features are no
    # objects yet; a few layers of its own let an exit make some (PTEENet, arXiv 2501.02508).
    HEADS.register(f"conv{_depth}")(_doubling(_depth))


def _deep(widths: Sequence[int]) -> Reader:
    def read(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = None
        for number, width in enumerate(widths):
            if width == channels:
                layers[f"pair{number}"] = ResidualPair(width)
            else:
                layers[f"unit{number}"] = unit(channels or shape[0], width, stride=2)
            channels = width
        layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        return nn.Sequential(layers), widths[-1]

    return read


SIZED: dict[str, Callable[[Sequence[int]], Reader]] = {
    "strided": _strided,
    "deep": _deep,
}
"""Heads whose kind names the channels of their layers: "strided128-256", "deep64-64-128"."""
WIDTHS = re.compile(rf"({'|'.join(SIZED)})(\d+(?:-\d+)*)")


def reader(kind: str) -> Reader:
    """Return what makes the reader of a kind of head: one of `HEADS`, or one with named widths.

    "strided128-256" is two 3×3 convolutions of stride 2 with so many channels. In "deep64-64-128"
    a new width is such a convolution, too, and a width repeated is a residual pair of convolutions.
    An exit that reads features of few layers is as good as the layers of its own, and their compute
    counts: depth earns more than width.

    Raises:
        UserError: there is no such kind.
    """
    match = WIDTHS.fullmatch(kind)
    if match:
        return SIZED[match[1]]([int(width) for width in match[2].split("-")])
    return HEADS[kind]


REST = re.compile(r"rest(2|4|8)")
"""A head that goes on as the trunk does, at a half, a quarter or an eighth of the resolution."""


class RestReader(nn.Sequential):
    """What `rest` makes: pooling, the rest of the trunk, and the average of its maps."""

    def maps(self, features: Tensor) -> Tensor:
        """Return the last maps (B, D, H', W') of features (B, C, H, W): what is averaged."""
        pool, rest, _, _ = self
        maps: Tensor = rest(pool(features))
        return maps

    def averaged(self, maps: Tensor) -> Tensor:
        """Return the averages (B, D) of the last maps."""
        _, _, average, flatten = self
        averages: Tensor = flatten(average(maps))
        return averages


def rest(factor: int, blocks: nn.Sequential) -> Reader:
    """Return what makes a reader of the rest of a trunk, at a fraction of the resolution.

    It begins with the trunk's weights, and learns on its own. The answer of a whole network, for a
    quarter of the compute (factor 2) or a sixteenth (4). After RANet (Yang et al., arXiv
    2003.07326), where easy pictures are answered at a low resolution.

    Args:
        factor: that features are pooled by on each side.
        blocks: of the trunk, from the one after the exit to the last; map maps to maps.
    """

    def read(shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
        reader = RestReader(
            OrderedDict(
                pool=nn.AvgPool2d(factor, ceil_mode=True),
                rest=copy.deepcopy(blocks),
                average=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
            )
        )
        device = next((tensor.device for tensor in blocks.parameters()), None)
        try:
            with torch.no_grad():
                width = reader.eval()(torch.zeros(1, *shape, device=device)).shape[1]
        except RuntimeError:
            raise UserError(
                f"expected features that are large enough for a head rest{factor}, but got "
                f"{shape[1]} × {shape[2]}: choose an earlier exit, larger images or another head."
            ) from None
        return reader.train(), width

    return read


class Head(nn.Module):
    """A classifier and, for an early exit that learns when to stop, a confidence branch.

    The classifier is one linear layer: EENet's *softmax branch*, or, for class exclusion, one
    sigmoid per class, the probability that the class is still possible.
    """

    def __init__(
        self,
        kind: str | Reader,
        shape: tuple[int, int, int],
        num_classes: int,
        confidence: str | None = None,
        sigmoid: bool = False,
    ) -> None:
        """Make a head of a registered ``kind`` for features of ``shape`` (C, H, W).

        Args:
            kind: a name in `HEADS`, or one with the widths of its layers, see `reader`; or what
                makes the reader.
            shape: of the features.
            num_classes: K.
            confidence: the `CONFIDENCE_INPUTS` of the confidence branch; None for no such branch.
            sigmoid: whether the classifier has one sigmoid per class. Its logits are then
                ln σ(s), so that their softmax, σ(s) / Σ σ(s), keeps all ratios.
        """
        super().__init__()
        self.reader, width = (reader(kind) if isinstance(kind, str) else kind)(shape)
        self.softmax_branch = nn.Linear(width, num_classes)
        self.sigmoid = sigmoid
        self.confidence_input = None if confidence is None else CONFIDENCE_INPUTS[confidence]
        self.confidence_branch = (
            None
            if self.confidence_input is None
            else nn.Linear(self.confidence_input.width(width), 1)
        )

    def forward(self, features: Tensor) -> HeadOutput:
        """Map a stage's features (B, C, H, W) to logits (B, K) and a confidence logit (B,)."""
        return self.answer(self.reader(features))

    def answer(self, read: Tensor) -> HeadOutput:
        """Map what the reader made of a stage's features, (B, D), to the same."""
        logits = self.softmax_branch(read)
        if self.sigmoid:
            logits = -F.softplus(-logits.float())  # ln σ(s), as ONNX computes it without infinities
        if self.confidence_input is None or self.confidence_branch is None:
            return HeadOutput(logits, None)
        seen = self.confidence_input.read(read, logits.detach())
        return HeadOutput(logits, self.confidence_branch(seen).squeeze(1))
