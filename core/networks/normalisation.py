"""From pixels to what a network reads: every channel shifted and scaled."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Normalisation(nn.Module):
    """Map pixels to (pixel / 255 − mean) / std, channel by channel.

    Attributes:
        mean: per channel, of images in [0, 1].
        std: standard deviation per channel, likewise.
        reciprocal: whether to multiply by 1/255 instead, as torchvision's v2 does: the last bit of
            the result differs.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], reciprocal: bool = False
    ) -> None:
        """Take one mean and one standard deviation per channel."""
        super().__init__()
        self.mean, self.std, self.reciprocal = tuple(mean), tuple(std), reciprocal
        for name, values in (("shift", self.mean), ("scale", self.std)):
            tensor = torch.tensor(values, dtype=torch.float32)[:, None, None]
            self.register_buffer(name, tensor, persistent=False)

    @classmethod
    def measured(cls, parts: Iterable[NDArray[np.uint8]]) -> "Normalisation":
        """Return the normalisation of images, in parts (N, H, W, C), to mean 0 and deviation 1."""
        counts = [
            [np.bincount(channel, minlength=256) for channel in part.reshape(-1, part.shape[-1]).T]
            for part in parts
        ]
        histogram = np.sum(counts, axis=0)  # (C, 256)
        count = histogram[0].sum()
        values = np.arange(256) / 255
        mean = histogram @ values / count
        variance = histogram @ values**2 / count - mean**2
        return cls(mean.round(4).tolist(), np.sqrt(variance).round(4).tolist())

    def forward(self, pixels: Tensor) -> Tensor:
        """Map uint8 (B, C, H, W) to float32 of the same shape, channels last in memory."""
        values = pixels.float() * (1 / 255) if self.reciprocal else pixels.float() / 255
        scaled = (values - self.shift) / self.scale
        return scaled.contiguous(memory_format=torch.channels_last)

    def batches(self, images: NDArray[np.uint8], batch_size: int) -> Iterator[Tensor]:
        """Cut images uint8 (N, H, W, C) into normalised batches (B, C, H, W) on its device."""
        for first in range(0, len(images), batch_size):
            yield self(to_device(images[first : first + batch_size], self.shift.device))


def to_device(images: NDArray[Any], device: torch.device) -> Tensor:
    """Move images (N, H, W, C) to the device, seen as (N, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2)
