import torch
from torch import nn

from core.networks.residual import Depthwise


def test_it_is_a_convolution_of_each_channel_apart() -> None:
    made = Depthwise(6, kernel=3, stride=2, padding=1)
    same = nn.Conv2d(6, 6, 3, 2, 1, groups=6, bias=False)
    same.load_state_dict(made.state_dict())
    features = torch.randn(2, 6, 9, 9)
    assert torch.equal(made(features), same(features))


def test_only_what_learns_is_computed_in_float32() -> None:
    made = Depthwise(6, kernel=3, stride=1, padding=1)
    features = torch.randn(2, 6, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert made(features).dtype == torch.float32
        with torch.no_grad():
            assert made(features).dtype == torch.bfloat16
        made.requires_grad_(False)
        assert made(features).dtype == torch.bfloat16
