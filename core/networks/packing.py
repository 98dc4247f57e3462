"""Weights in eight bits: whole numbers from −127 to 127, 32 in a row with one scale.

Files of large language models keep them so (ggml's Q8_0). A network still computes with float32:
with the exact products of numbers and scales.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from core.foundation.errors import UserError

GROUP = 32
"""Weights, in the order of an output's inputs, that share a scale."""
UNIT = 2.0**-12
"""Of scales, which are float16: those from 1.5e-8 to 16 have eleven significant bits."""
SCALE = ".scale"
"""What the name of a tensor's scales ends with."""


def pack(tensor: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the nearest numbers and scales to a tensor float32 ``(outputs, …)``.

    A scale is the largest magnitude of its group by 127, rounded up; below 1.5e-8 it is 0.

    Returns:
        int8 of the tensor's shape and float16 ``(outputs, groups)``; None for a tensor with fewer
        than `GROUP` weights of an output, where little is saved, and for magnitudes above 2,032.
    """
    if tensor.dtype != torch.float32 or tensor.dim() < 2 or tensor[0].numel() < GROUP:
        return None
    groups = _grouped(tensor)
    exact = groups.abs().amax(2) / (127 * UNIT)
    scales = exact.half()
    above = torch.nextafter(scales, torch.full_like(scales, torch.inf))
    scales = torch.where(scales.float() < exact, above, scales)
    if not scales.isfinite().all():
        return None
    scales[scales < torch.finfo(torch.float16).tiny] = 0
    steps = scales.float()[..., None] * UNIT
    numbers = torch.where(steps > 0, groups / steps, 0).round().to(torch.int8)
    return _ungrouped(numbers, tensor.shape), scales


def unpack(numbers: Tensor, scales: Tensor) -> Tensor:
    """Return the tensor float32 that `pack` made numbers and scales of, or the nearest to it."""
    return _ungrouped(_grouped(numbers) * (scales.float()[..., None] * UNIT), numbers.shape)


def unpack_all(tensors: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return tensors of a file by name, those in eight bits as float32.

    Raises:
        UserError: scales that do not fit their numbers; ``source`` names the file.
    """
    whole = dict(tensors)
    for name, numbers in tensors.items():
        if numbers.dtype == torch.int8 and (scales := whole.pop(name + SCALE, None)) is not None:
            groups = (len(numbers), -(-numbers[0].numel() // GROUP)) if numbers.dim() > 1 else ()
            if scales.dtype != torch.float16 or scales.shape != groups:
                raise UserError(
                    f"the weights {source} are damaged (the scales of {name!r} do not fit it): "
                    "copy them again."
                )
            whole[name] = unpack(numbers, scales)
    return whole


def _grouped(tensor: Tensor) -> Tensor:
    """Return ``(outputs, groups, GROUP)``, the last group filled with zeros."""
    rows = tensor.flatten(1)
    return pad(rows, (0, -rows.shape[1] % GROUP)).reshape(len(rows), -1, GROUP)


def _ungrouped(groups: Tensor, shape: torch.Size) -> Tensor:
    return groups.flatten(1)[:, : shape[1:].numel()].reshape(shape).contiguous()
