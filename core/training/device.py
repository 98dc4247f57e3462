"""Data and arithmetic on the device that trains."""

import torch


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Decide whether to compute in bfloat16: where the hardware has it, unless told otherwise."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
