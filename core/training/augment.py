"""Augmentation as tensor operations: whole batches, on the device, no Python per image."""

import torch
import torch.nn.functional as F
from torch import Tensor


class CropAndFlip:
    """Random crops of a reflect-padded image and random mirror images, each sample its own.

    The padded images stay on the device as bytes; one gather per batch makes the crops. A square of
    each may be hidden (cutout: DeVries & Taylor, arXiv 1708.04552).
    """

    def __init__(self, images: Tensor, pad: int, flip: bool, cutout: int = 0) -> None:
        """Take all images (N, C, H, W) uint8.

        Args:
            images: on the device.
            pad: pixels on each side, so far may a crop be off the middle.
            flip: whether half of the crops are mirrored.
            cutout: side of the square that is painted in the mean colour. Its centre is anywhere,
                so that part of it may lie outside.
        """
        self.height, self.width = images.shape[2:]
        self.pad, self.flip, self.cutout = pad, flip, cutout
        colour = images.sum(dim=(0, 2, 3), dtype=torch.int64) // images[:, 0].numel()
        self.mean = colour.to(torch.uint8)[:, None, None]
        self.padded = _reflect(images, pad) if pad else images

    def batch(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return the augmented images (B, C, H, W) uint8 of ``indices`` (B,).

        ``generator`` lives on the CPU, so the same seed gives the same crops on every device.
        """
        count = len(indices)
        device = self.padded.device
        reach = 2 * self.pad + 1
        top, left = torch.randint(reach, (2, count), generator=generator)
        rows = top[:, None] + torch.arange(self.height)
        columns = left[:, None] + torch.arange(self.width)
        if self.flip:
            mirrored = torch.rand(count, generator=generator) < 0.5
            columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        rows, columns = rows.to(device), columns.to(device)
        crops = self.padded[indices[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        crops = crops.permute(0, 3, 1, 2)  # (B, H, W, C) gathered, channels_last for free
        if self.cutout:
            hidden = self._hidden(count, generator).to(device)
            crops = torch.where(hidden, self.mean, crops)
        return crops

    def _hidden(self, count: int, generator: torch.Generator) -> Tensor:
        """Which pixels are painted over: (B, 1, H, W) bool."""
        rows, columns = (
            self._covered(size, count, generator) for size in (self.height, self.width)
        )
        return rows[:, None, :, None] & columns[:, None, None, :]

    def _covered(self, size: int, count: int, generator: torch.Generator) -> Tensor:
        """Which rows, or columns, the squares cover: (B, size) bool."""
        start = torch.randint(size, (count, 1), generator=generator) - self.cutout // 2
        places = torch.arange(size)
        return (places >= start) & (places < start + self.cutout)


def _reflect(images: Tensor, pad: int) -> Tensor:
    parts = [  # in chunks: padding works on floats, and a whole data set of them is large
        F.pad(chunk.float(), (pad, pad, pad, pad), mode="reflect").to(torch.uint8)
        for chunk in torch.split(images, 4096)
    ]
    return torch.cat(parts)
