"""Data and arithmetic on the device that trains."""

import ctypes
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt, as its malloc.h numbers them."""


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Decide whether to compute in bfloat16: where the hardware has it, unless told otherwise."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def keep_freed_memory() -> None:
    """Let the C library keep what freed tensors leave, instead of handing it back to the system.

    Each step frees and takes the same activations; given back, every page of them has to be mapped
    and cleared anew, a fifth of a deep network's training time on two CPU cores. For the rest of
    the process, so not for a server. Without effect where the library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 2**26)


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
