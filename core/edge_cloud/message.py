"""Features and labels as the bytes that travel, and back."""

import torch
from torch import Tensor

from core.edge_cloud.traffic import Shape, feature_bytes

_STEPS = 255


def pack(features: Tensor, bits: int) -> Tensor:
    """Turn features (B, C, H, W) into bytes: uint8 (`feature_bytes`,).

    32 bits keep a float32 as it is; 16 round it to bfloat16, by at most 2⁻⁸ of its size. With 8,
    each channel's range in the batch is divided into 255 equal steps, and a feature is off by at
    most half a step.
    """
    rows = features.detach().permute(0, 2, 3, 1)  # (B, H, W, C), free where channels come last
    if bits == 32:
        return _bytes(rows.float())
    if bits == 16:
        return _bytes(rows.bfloat16())
    rows = rows.float()
    low = rows.amin(dim=(0, 1, 2))
    step = (rows.amax(dim=(0, 1, 2)) - low) / _STEPS
    # A channel that is constant has no steps, one that is not finite stays so by its low and step.
    steps = ((rows - low) / step).nan_to_num(0.0).round().clamp(0, _STEPS).to(torch.uint8)
    return torch.cat([_bytes(low), _bytes(step), _bytes(steps)])


def unpack(payload: Tensor, count: int, shape: Shape, bits: int) -> Tensor:
    """Turn the bytes of `pack` into float32 features (B, C, H, W), B = ``count``."""
    channels, height, width = shape
    if bits == 8:
        scales = payload[: 8 * channels].view(torch.float32)
        low, step = scales[:channels], scales[channels:]
        values = payload[8 * channels :].view(count, height, width, channels) * step + low
    else:
        kind = torch.float32 if bits == 32 else torch.bfloat16
        values = payload.view(kind).view(count, height, width, channels).float()
    return values.permute(0, 3, 1, 2)


def pack_batch(features: Tensor, labels: Tensor, bits: int, num_classes: int) -> Tensor:
    """Turn features (B, C, H, W) and labels (B,) into one message: uint8 (`batch_bytes`,)."""
    kind = torch.uint8 if num_classes <= 256 else torch.int32
    return torch.cat([pack(features, bits), _bytes(labels.to(kind))]).cpu()


def unpack_batch(
    message: Tensor, count: int, shape: Shape, bits: int, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Turn a message of `pack_batch` into features (B, C, H, W) float32 and labels (B,)."""
    end = feature_bytes(count, shape, bits)
    kind = torch.uint8 if num_classes <= 256 else torch.int32
    labels = message[end:].clone().view(kind).long()
    return unpack(message[:end], count, shape, bits), labels


def _bytes(values: Tensor) -> Tensor:
    return values.contiguous().view(torch.uint8).flatten()
