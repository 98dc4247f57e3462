"""Features and labels as the bytes that travel, and back."""

import torch
from torch import Tensor

from core.edge_cloud.payload import Shape, feature_bytes, label_bytes

_LEVELS = 255


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
    step = (rows.amax(dim=(0, 1, 2)) - low) / _LEVELS
    # A channel that is constant has no steps, one that is not finite stays so by its low and step.
    levels = ((rows - low) / step).nan_to_num(0.0).round().clamp(0, _LEVELS).to(torch.uint8)
    return torch.cat([_bytes(low), _bytes(step), _bytes(levels)])


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


def pack_labels(labels: Tensor, num_classes: int) -> Tensor:
    """Turn labels (B,) into bytes: uint8 (`label_bytes`,)."""
    return _bytes(labels.to(torch.uint8 if num_classes <= 256 else torch.int32))


def unpack_labels(payload: Tensor, num_classes: int) -> Tensor:
    """Turn the bytes of `pack_labels` into labels (B,) int64."""
    kind = torch.uint8 if num_classes <= 256 else torch.int32
    return payload.clone().view(kind).long()


def pack_batch(features: Tensor, labels: Tensor, bits: int, num_classes: int) -> Tensor:
    """Turn a batch, features (B, C, H, W) and labels (B,), into one message."""
    message = torch.cat([pack(features, bits), pack_labels(labels, num_classes)])
    return message.cpu()


def batch_bytes(count: int, shape: Shape, bits: int, num_classes: int) -> int:
    """Return the size of the message of `pack_batch`."""
    return feature_bytes(count, shape, bits) + label_bytes(count, num_classes)


def unpack_batch(
    message: Tensor, count: int, shape: Shape, bits: int, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Turn a message of `pack_batch` into features (B, C, H, W) float32 and labels (B,)."""
    end = feature_bytes(count, shape, bits)
    features = unpack(message[:end], count, shape, bits)
    return features, unpack_labels(message[end:], num_classes)


def _bytes(values: Tensor) -> Tensor:
    return values.contiguous().view(torch.uint8).flatten()
