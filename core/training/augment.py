"""Augmentation as tensor operations: whole batches, on the device, no Python per image."""

import torch
import torch.nn.functional as F
from torch import Tensor


class CropAndFlip:
    """Random crops of a reflect-padded image and random mirror images, each sample its own.

    The padded images stay on the device as bytes; one gather per batch makes the crops.
    """

    def __init__(self, images: Tensor, pad: int, flip: bool) -> None:
        """Take all images (N, C, H, W).

        Args:
            images: on the device, uint8 or float32.
            pad: pixels on each side, so far may a crop be off the middle.
            flip: whether half of the crops are mirrored.
        """
        self.height, self.width = images.shape[2:]
        self.pad, self.flip = pad, flip
        total = torch.float64 if images.is_floating_point() else torch.int64
        colour = images.sum(dim=(0, 2, 3), dtype=total).double() / images[:, 0].numel()
        self.mean = colour.to(images.dtype)[:, None, None]
        self.padded = _reflect(images, pad) if pad else images

    def batch(self, indices: Tensor, generator: torch.Generator, cutout: int = 0) -> Tensor:
        """Return augmented images (B, C, H, W).

        Args:
            indices: of the images, (B,).
            generator: on the CPU, so that the same seed gives the same crops on every device.
            cutout: side of a square of each image that is painted in the mean colour (DeVries &
                Taylor, arXiv 1708.04552). Its centre is anywhere: part of it may lie outside.
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
        if cutout:
            hidden = self._hidden(count, cutout, generator).to(device)
            crops = torch.where(hidden, self.mean, crops)
        return crops

    def originals(self, indices: Tensor) -> Tensor:
        """Return images as they are: (B, C, H, W)."""
        rows = slice(self.pad, self.pad + self.height)
        return self.padded[indices, :, rows, self.pad : self.pad + self.width]

    def _hidden(self, count: int, cutout: int, generator: torch.Generator) -> Tensor:
        """Which pixels are painted over: (B, 1, H, W) bool."""
        rows, columns = (
            _covered(size, count, cutout, generator) for size in (self.height, self.width)
        )
        return rows[:, None, :, None] & columns[:, None, None, :]


def _covered(size: int, count: int, cutout: int, generator: torch.Generator) -> Tensor:
    """Which rows, or columns, the squares cover: (B, size) bool."""
    start = torch.randint(size, (count, 1), generator=generator) - cutout // 2
    places = torch.arange(size)
    return (places >= start) & (places < start + cutout)


def _reflect(images: Tensor, pad: int) -> Tensor:
    parts = [  # in chunks, as padding works on floats, which take four times the memory
        F.pad(chunk.float(), (pad, pad, pad, pad), mode="reflect").to(images.dtype)
        for chunk in torch.split(images, 4096)
    ]
    return torch.cat(parts)
