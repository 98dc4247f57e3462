import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from core.edge_cloud.message import (
    pack,
    pack_batch,
    unpack,
    unpack_batch,
)
from core.edge_cloud.traffic import BITS, batch_bytes, feature_bytes, label_bytes

SHAPE = (3, 4, 5)


def features(seed: int, scale: float = 1.0, count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(count, *SHAPE, generator=generator) * scale
    return made.contiguous(memory_format=torch.channels_last)


def travelled(values: torch.Tensor, bits: int) -> torch.Tensor:
    return unpack(pack(values, bits), len(values), SHAPE, bits)


@given(some.integers(0, 1000), some.floats(1e-3, 1e4))
def test_the_error_stays_within_its_bound(seed: int, scale: float) -> None:
    sent = features(seed, scale)
    assert torch.equal(travelled(sent, 32), sent)
    assert ((travelled(sent, 16) - sent).abs() <= sent.abs() * 2**-8).all()
    span = sent.amax(dim=(0, 2, 3)) - sent.amin(dim=(0, 2, 3))
    half_step = span[None, :, None, None] / 255 / 2
    assert ((travelled(sent, 8) - sent).abs() <= half_step * 1.001).all()


def test_what_was_computed_in_bfloat16_arrives_unchanged_in_16_bits() -> None:
    sent = features(0).bfloat16()
    assert torch.equal(travelled(sent, 16), sent.float())


def test_every_channel_has_its_own_range_and_a_constant_one_is_exact() -> None:
    sent = features(1)
    sent[:, 0] = 7.25
    sent[:, 1] *= 1e-6
    arrived = travelled(sent, 8)
    assert torch.equal(arrived[:, 0], sent[:, 0])
    assert (arrived[:, 1] - sent[:, 1]).abs().max() < 1e-7


def test_a_feature_that_is_no_number_is_not_made_one() -> None:
    sent = features(2)
    sent[0, 1, 2, 3] = torch.nan
    arrived = travelled(sent, 8)
    assert arrived[:, 1].isnan().any()
    assert arrived[:, 0].isfinite().all()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("classes", [10, 1000])
def test_a_message_is_as_long_as_announced(bits: int, classes: int) -> None:
    sent = features(3, count=7)
    labels = torch.arange(7) * (classes // 8)
    message = pack_batch(sent, labels, bits, classes)
    assert message.dtype == torch.uint8
    assert len(message) == batch_bytes(7, SHAPE, bits, classes)
    assert len(message) == feature_bytes(7, SHAPE, bits) + label_bytes(7, classes)
    _, received = unpack_batch(message, 7, SHAPE, bits, classes)
    assert torch.equal(received, labels)


def test_fewer_bits_are_fewer_bytes() -> None:
    large = (32, 16, 16)
    in_32, in_16, in_8 = (feature_bytes(128, large, bits) for bits in BITS)
    assert in_32 == 2 * in_16
    assert in_16 / 2 <= in_8 < in_16 / 2 * 1.001


def test_no_gradient_travels() -> None:
    sent = features(4).requires_grad_()
    assert not travelled(sent, 32).requires_grad
