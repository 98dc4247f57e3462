"""Data and arithmetic on the device that trains."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Decide whether to compute in bfloat16: where the hardware has it, unless told otherwise."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def to_device(images: np.ndarray[Any, Any], device: torch.device) -> Tensor:
    """Move images uint8 (N, H, W, C) to the device as (N, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)


def normalisation(images: np.ndarray[Any, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of images uint8 (N, H, W, C), in [0, 1]."""
    pixels = images.reshape(-1, images.shape[-1])
    histogram = np.stack([np.bincount(channel, minlength=256) for channel in pixels.T])
    levels = np.arange(256) / 255
    mean = histogram @ levels / len(pixels)
    variance = histogram @ levels**2 / len(pixels) - mean**2
    return tuple(mean.round(4).tolist()), tuple(np.sqrt(variance).round(4).tolist())
