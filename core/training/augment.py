"""Augmentation as tensor operations: whole batches, on the device, no Python per image."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Draws:
    """What happens to the images of a batch, on the device.

    Attributes:
        corners: (2, B) top and left of each crop in the padded image.
        mirrored: (B,) bool; None: no image is.
        squares: (2, B) top and left of each square that is painted over; None: there are none.
        cutout: side of the squares.
    """

    corners: Tensor
    mirrored: Tensor | None
    squares: Tensor | None
    cutout: int


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

    def draw(
        self, steps: int, count: int, generator: torch.Generator, cutout: int = 0
    ) -> list[Draws]:
        """Draw what happens to the images of some batches, and move it to the device at once.

        Args:
            steps: number of batches.
            count: of images in each.
            generator: on the CPU, so that the same seed gives the same crops on every device.
            cutout: side of a square of each image that is painted in the mean colour (DeVries &
                Taylor, arXiv 1708.04552). Its centre is anywhere: part of it may lie outside.
        """
        corners, mirrored, squares = [], [], []
        for _ in range(steps):
            corners.append(torch.randint(2 * self.pad + 1, (2, count), generator=generator))
            if self.flip:
                mirrored.append(torch.rand(count, generator=generator) < 0.5)
            if cutout:
                sizes = (self.height, self.width)
                starts = [torch.randint(size, (count,), generator=generator) for size in sizes]
                squares.append(torch.stack(starts) - cutout // 2)

        def moved(parts: list[Tensor]) -> Sequence[Tensor | None]:
            stacked = torch.stack(parts).to(self.padded.device) if parts else None
            return [None if stacked is None else stacked[step] for step in range(steps)]

        at = torch.stack(corners).to(self.padded.device)
        others = zip(at, moved(mirrored), moved(squares), strict=True)
        return [Draws(*each, cutout=cutout) for each in others]

    def batch(self, indices: Tensor, drawn: Draws) -> Tensor:
        """Return augmented images (B, C, H, W).

        Args:
            indices: of the images, (B,), on the device.
            drawn: what happens to each of them.
        """
        device = self.padded.device
        top, left = drawn.corners
        rows = top[:, None] + torch.arange(self.height, device=device)
        columns = left[:, None] + torch.arange(self.width, device=device)
        if drawn.mirrored is not None:
            columns = torch.where(drawn.mirrored[:, None], columns.flip(1), columns)
        crops = self.padded[indices[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        crops = crops.permute(0, 3, 1, 2)  # (B, H, W, C) gathered, channels_last for free
        if drawn.squares is not None:
            rows_hidden, columns_hidden = (
                _covered(size, start, drawn.cutout)
                for size, start in zip((self.height, self.width), drawn.squares, strict=True)
            )
            hidden = rows_hidden[:, None, :, None] & columns_hidden[:, None, None, :]
            crops = torch.where(hidden, self.mean, crops)
        return crops

    def originals(self, indices: Tensor) -> Tensor:
        """Return images as they are: (B, C, H, W)."""
        rows = slice(self.pad, self.pad + self.height)
        return self.padded[indices, :, rows, self.pad : self.pad + self.width]


def _covered(size: int, start: Tensor, cutout: int) -> Tensor:
    """Return which rows, or columns, the squares that start there (B,) cover: (B, size) bool."""
    places = torch.arange(size, device=start.device)
    return (places >= start[:, None]) & (places < start[:, None] + cutout)


def _reflect(images: Tensor, pad: int) -> Tensor:
    parts = [  # in chunks, as padding works on floats, which take four times the memory
        F.pad(chunk.float(), (pad, pad, pad, pad), mode="reflect").to(images.dtype)
        for chunk in torch.split(images, 4096)
    ]
    return torch.cat(parts)
