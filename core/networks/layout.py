"""Layouts of features: which axis holds the channels and which hold the picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Kind = Literal["map", "channels-last", "tokens"]


@dataclass(frozen=True)
class Layout:
    """How a network keeps its features, and how to make maps (B, C, H, W) of them.

    Attributes:
        kind: "map" (B, C, H, W), "channels-last" (B, H, W, C) or "tokens" (B, T, C).
        prefix: how many tokens come before those of the picture (class token, registers).
        rows: H of the picture's tokens.
    """

    kind: Kind = "map"
    prefix: int = 0
    rows: int = 0

    def to_map(self, features: Tensor) -> Tensor:
        """Return features as maps (B, C, H, W). Class tokens and registers are dropped."""
        if self.kind == "map":
            return features
        if self.kind == "channels-last":
            return features.permute(0, 3, 1, 2)
        picture = features[:, self.prefix :].transpose(1, 2)  # (B, C, H·W)
        return picture.reshape(*picture.shape[:2], self.rows, -1)


MAP = Layout()


def layout_of(shape: Sequence[int]) -> Layout | None:
    """Return the layout of features of square images, given their shape without the batch.

    (H, W, C) is recognised by H = W ≠ C. Of (T, C), the fewest leading tokens are dropped for
    which the rest is a square. None where the features hold no picture.
    """
    if len(shape) == 3:
        height, width, channels = shape
        return Layout("channels-last") if height == width != channels else MAP
    if len(shape) == 2:
        rows = math.isqrt(shape[0])
        return Layout("tokens", shape[0] - rows**2, rows)
    return None
