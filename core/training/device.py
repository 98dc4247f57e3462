"""The arithmetic of the device that trains."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Decide whether to compute in bfloat16: where the hardware has it, unless told otherwise."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(bfloat16: bool, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a forward pass runs: bfloat16 where wanted, else float32."""
    return torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()
