"""Augmentation as tensor operations: whole batches, on the device, no Python per image."""

import torch
import torch.nn.functional as F
from torch import Tensor


class CropAndFlip:
    """Random crops of a reflect-padded image and random mirror images, each sample its own.

    The padded images stay on the device as bytes; one gather per batch makes the crops.
    """

    def __init__(self, images: Tensor, pad: int, flip: bool) -> None:
        """Take all images (N, C, H, W) uint8; pad each side, ``flip`` half of the crops."""
        self.height, self.width = images.shape[2:]
        self.pad, self.flip = pad, flip
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
        return crops.permute(0, 3, 1, 2)  # (B, H, W, C) gathered, channels_last for free


def _reflect(images: Tensor, pad: int) -> Tensor:
    parts = [  # in chunks: padding works on floats, and a whole data set of them is large
        F.pad(chunk.float(), (pad, pad, pad, pad), mode="reflect").to(torch.uint8)
        for chunk in torch.split(images, 4096)
    ]
    return torch.cat(parts)
