"""How many bytes a batch takes on the link."""

from math import prod

Shape = tuple[int, int, int]
"""Channels, height and width."""

BITS = (32, 16, 8)
"""What a feature may be sent in: float32, bfloat16, or a byte with a scale for each channel."""


def feature_bytes(count: int, shape: Shape, bits: int) -> int:
    """Return the bytes of the features of ``count`` images; 8 bits need two floats a channel."""
    scales = 2 * 4 * shape[0] if bits == 8 else 0
    return count * prod(shape) * bits // 8 + scales


def label_bytes(count: int, num_classes: int) -> int:
    """Return the bytes of the labels of ``count`` images: one each, or four with many classes."""
    return count * (1 if num_classes <= 256 else 4)


def image_bytes(count: int, shape: Shape) -> int:
    """Return the bytes of ``count`` raw images, one for each pixel and channel."""
    return count * prod(shape)
