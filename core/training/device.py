"""The device that computes, and its arithmetic."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from core.foundation.errors import UserError
from core.foundation.processor import processor


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Decide whether to compute in bfloat16: where the hardware has it, unless told otherwise."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return _computes_bfloat16()


def _computes_bfloat16() -> bool:
    """Return whether the CPU has instructions for bfloat16; builds without oneDNN cannot tell."""
    question = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    try:
        return question is not None and bool(question())
    except (RuntimeError, NotImplementedError):  # known by name, not built in
        return False


def autocast(bfloat16: bool, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a forward pass runs: bfloat16 where wanted, else float32."""
    return torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()


def checked_device(name: str) -> torch.device:
    """Return the device of that name. Raises `UserError` when this machine has none such."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"expected `device` to be cpu or cuda, but got {name!r}.")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < count):
        raise UserError(
            f"expected `device` {name} to be available, but PyTorch finds {count} GPUs: use cpu."
        )
    return device


def hardware(device: torch.device) -> str:
    """Return the name of a GPU, or how many cores and threads of which processor there are."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    plural = "" if threads == 1 else "s"
    return f"{os.cpu_count()} CPU cores ({processor()}), {threads} thread{plural}"
