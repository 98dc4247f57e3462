from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.foundation.errors import UserError
from core.hub.model import load
from core.hub.publish import round_weights
from core.networks.packing import GROUP, SCALE, pack, unpack, unpack_all
from core.networks.weights import read_weights
from tests.core.hub.test_model import network, tiny


@pytest.mark.parametrize("shape", [(4, 32), (5, 33), (3, 8, 3, 3), (2, 100, 1, 1)])
@pytest.mark.parametrize("scale", [1e-5, 0.03, 1.0, 500.0])
def test_what_was_packed_once_is_packed_without_loss(shape: tuple[int, ...], scale: float) -> None:
    exact = scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    pair = pack(exact)
    assert pair is not None
    numbers, scales = pair
    assert (numbers.dtype, numbers.shape) == (torch.int8, exact.shape)
    rows = exact.flatten(1)
    groups = -(-rows.shape[1] // GROUP)
    assert (scales.dtype, scales.shape) == (torch.float16, (shape[0], groups))
    near = unpack(numbers, scales)
    for group in range(groups):
        part = slice(GROUP * group, GROUP * (group + 1))
        largest = rows[:, part].abs().amax(1, keepdim=True)
        off = (near.flatten(1) - rows)[:, part].abs()
        assert (off <= 0.502 * largest / 127).all()  # half a step, which is rounded up
    again = pack(near)
    assert again is not None
    assert torch.equal(again[0], numbers)
    assert torch.equal(again[1], scales)


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(8), torch.ones(4, 31), torch.ones(4, 32).double(), torch.full((4, 32), 3000.0)],
)
def test_what_would_save_little_or_lose_much_is_left(tensor: torch.Tensor) -> None:
    assert pack(tensor) is None


def test_a_group_of_nothing_is_zero() -> None:
    pair = pack(torch.full((2, 64), 1e-9))
    assert pair is not None
    assert not unpack(*pair).any()


def test_a_model_in_eight_bits_is_what_was_measured(tmp_path: Path) -> None:
    made = network()
    round_weights(made, 8)
    tiny(made).save(tmp_path)
    stored = load_file(tmp_path / "weights.safetensors")
    wide = [name for name, tensor in made.named_parameters() if pack(tensor.detach()) is not None]
    assert wide
    assert all(stored[name].dtype == torch.int8 for name in wide)
    for name, tensor in load(tmp_path).network.state_dict().items():
        assert torch.equal(tensor, made.state_dict()[name])
    read = read_weights(tmp_path / "weights.safetensors")
    assert torch.equal(read[wide[0]], made.state_dict()[wide[0]])


def test_scales_that_do_not_fit_are_damage(tmp_path: Path) -> None:
    pair = pack(torch.ones(4, 64))
    assert pair is not None
    numbers, scales = pair
    for wrong in (scales[:, :1].contiguous(), scales.float(), scales[:2].contiguous()):
        with pytest.raises(UserError, match="scales of 'weight' do not fit"):
            unpack_all({"weight": numbers, f"weight{SCALE}": wrong}, "some.safetensors")
    save_file(
        {"weight": numbers, f"weight{SCALE}": scales[:2].contiguous()}, tmp_path / "a.safetensors"
    )
    with pytest.raises(UserError, match="do not fit"):
        read_weights(tmp_path / "a.safetensors")
    alone = unpack_all({"weight": numbers}, "some.safetensors")
    assert alone["weight"].dtype == torch.int8
