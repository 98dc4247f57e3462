"""Early exits on modules of torchvision's, of timm's and of one's own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import ConvNeXt, MaxVit, ResNet, SwinTransformer, VisionTransformer
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import Bottleneck
from torchvision.models.swin_transformer import (
    PatchMerging,
    PatchMergingV2,
    SwinTransformerBlock,
    SwinTransformerBlockV2,
)

from core.analysis.saliency import SALIENCY
from core.networks.attach import attach
from core.networks.build import build
from core.networks.constructors import Weightless
from core.networks.cost import count, counted
from tests.core.exits.test_inference import assert_equal_to_table, mixed_policy, table_of
from tests.core.networks.small import filled, noise, torchvision_module

NAMED = (
    *("alexnet", "vgg11", "resnet18", "densenet121", "googlenet", "inception_v3", "mobilenet_v2"),
    *("mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "mnasnet0_5"),
    *("efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf"),
)
SIZES = {"alexnet": 64, "inception_v3": 80}


def swin(block: type[nn.Module], downsample: type[nn.Module]) -> nn.Module:
    options = {"block": block, "downsample_layer": downsample, "num_classes": 10}
    return SwinTransformer([4, 4], 16, [1, 2, 1], [2, 2, 4], [4, 4], **options)


SMALL: dict[str, Callable[[], nn.Module]] = {
    "resnext": lambda: ResNet(Bottleneck, [1, 1, 1, 1], 10, groups=8, width_per_group=4),
    "wide_resnet": lambda: ResNet(Bottleneck, [1, 1, 1, 1], 10, width_per_group=128),
    "convnext": lambda: ConvNeXt(
        [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 32, 2), CNBlockConfig(32, None, 1)],
        num_classes=10,
    ),
    "vit": lambda: VisionTransformer(32, 8, 4, 4, 32, 64, num_classes=10),
    "swin": lambda: swin(SwinTransformerBlock, PatchMerging),
    "swin_v2": lambda: swin(SwinTransformerBlockV2, PatchMergingV2),
    "maxvit": lambda: MaxVit((32, 32), 8, 2, [8, 16, 24], [1, 2, 1], 8, 0.2, num_classes=10),
}
"""Members of families whose named members are all large."""


def module_of(name: str) -> nn.Module:
    if name in SMALL:
        with Weightless():
            module = SMALL[name]()
        return filled(module)
    google = {"transform_input": True, "init_weights": False}
    return torchvision_module(name, 10, **(google if name in ("googlenet", "inception_v3") else {}))


def images(count: int, size: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, size, size, generator=generator)


@pytest.mark.parametrize("name", [*NAMED, *SMALL])
def test_every_family_of_torchvision(name: str, tmp_path: Path) -> None:
    check_all_the_way(partial(module_of, name), SIZES.get(name, 32), tmp_path)


def check_all_the_way(make: Callable[[], nn.Module], size: int, folder: Path) -> None:
    module, pictures = make(), images(2, size)
    network = attach(module, pictures[:1], head="conv1")
    assert network.num_exits == 4
    with torch.no_grad():
        logits = network(pictures).logits
        assert torch.equal(logits[:, -1], module(pictures))
        assert count(network, 3, size).plain_macs == counted(module, pictures[:1])[0]
    bytes_ = noise(12, size, 3)
    policy = mixed_policy(table_of(network, bytes_), "max_probability")
    assert_equal_to_table(network, bytes_, policy, 5)
    answers = logits[0].argmax(dim=1).tolist()
    for exit_index in range(network.num_exits):
        for method in ("grad_cam", "saliency"):
            seen = SALIENCY[method].function(network, pictures[:1], exit_index, answers[exit_index])
            assert seen.shape == (size, size)
            assert np.isfinite(seen).all()
        assert seen.max() == pytest.approx(1)
    save_file(network.state_dict(), folder / "weights.safetensors")
    with Weightless():
        again = build(network.spec, make).eval()
    weights = load_file(folder / "weights.safetensors")  # as they lie in the file: not aligned
    again.load_state_dict({name: t.clone() for name, t in weights.items()}, assign=True)
    with torch.no_grad():
        assert torch.equal(again(pictures).logits, network(pictures).logits)
