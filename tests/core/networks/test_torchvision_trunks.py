import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from core.analysis.saliency import SALIENCY
from core.foundation.errors import UserError
from core.networks.attach import with_exits
from core.networks.backbones.torchvision_trunks import FAMILIES, torchvision_names
from core.networks.build import build
from core.networks.cost import block_macs, count
from core.networks.network import ExitNetwork
from core.networks.placement import place
from core.networks.spec import NetworkSpec
from core.networks.trunk import TRUNKS
from tests.core.networks.small import torchvision_module

NAMES = torchvision.models.list_models(module=torchvision.models, include=FAMILIES)
LIGHT = ("resnet18", "resnet50", "densenet121", "vgg11", "vgg11_bn")
EXITS = {
    "resnet18": ("stage1_2", "stage3_1"),
    "resnet50": ("stage1_1", "stage4_2"),
    "densenet121": ("dense1_6", "dense4_1"),
    "vgg11": ("stage1", "stage4"),
    "vgg11_bn": ("stage2", "stage3"),
}


def small_vgg() -> nn.Module:
    """A VGG-11 with batch norm and a classifier of three small layers."""
    module = torchvision_module("vgg11_bn", classifier=False)
    module.classifier = nn.Sequential(
        nn.Linear(512 * 7 * 7, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 5)
    )
    return module


def for_small_images() -> nn.Module:
    """What people make of a ResNet for CIFAR."""
    module: nn.Module = torchvision.models.ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5)
    module.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
    module.maxpool = nn.Identity()
    module.layer4 = nn.Sequential(nn.Dropout2d(0.1))
    module.fc = nn.Sequential(nn.Dropout(0.5), nn.Linear(256, 5))
    return module


MODULES: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(torchvision_module, name) for name in LIGHT[:4]},
    "vgg11_bn": small_vgg,
    "resnext": lambda: torchvision.models.ResNet(
        Bottleneck, [1, 1, 1, 1], num_classes=5, groups=4, width_per_group=8
    ),
    "densenet with dropout": lambda: torchvision.models.DenseNet(
        8, (2, 2, 2, 2), 16, drop_rate=0.3, num_classes=5
    ),
    "for small images": for_small_images,
}


def spec(name: str, **changes: object) -> NetworkSpec:
    values = {"backbone": f"torchvision-{name}", "num_classes": 5, "in_channels": 3}
    return NetworkSpec.model_validate({**values, "image_size": 64, **changes})


def on_meta(asked: NetworkSpec) -> ExitNetwork:
    with torch.device("meta"):
        return build(asked)


def images(count: int, channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, height, width, generator=generator)


@pytest.mark.parametrize("name", MODULES)
@torch.no_grad()
def test_the_final_exit_gives_the_modules_own_logits(name: str) -> None:
    module = MODULES[name]().eval()
    network = with_exits(module, image_size=64, placement="linear", num_early=2)
    assert network.num_exits == 3
    channels = 1 if name == "for small images" else 3
    for height, width in ((64, 64), (75, 96)):
        pictures = images(2, channels, height, width)
        expected = module(pictures)
        torch.testing.assert_close(network(pictures).logits[:, -1], expected)


@pytest.mark.parametrize("name", ["resnext", "densenet with dropout", "vgg11_bn"])
@torch.no_grad()
def test_without_early_exits_it_is_the_module(name: str) -> None:
    module = MODULES[name]().eval()
    network = with_exits(module, image_size=64)
    pictures = images(2, 3, 64, 64)
    torch.testing.assert_close(network(pictures).logits, module(pictures)[:, None])


@pytest.mark.parametrize("name", ["resnet18", "densenet with dropout", "vgg11_bn"])
def test_the_module_stays_as_it_is(name: str) -> None:
    module = MODULES[name]().train()
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    in_place = [getattr(layer, "inplace", None) for layer in module.modules()]
    network = with_exits(module, image_size=64, placement="linear", num_early=1)
    assert not network.training
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    network.train()(images(2, 3, 64, 64))
    assert module.training
    assert [getattr(layer, "inplace", None) for layer in module.modules()] == in_place
    assert all(torch.equal(before[key], tensor) for key, tensor in module.state_dict().items())


@pytest.mark.parametrize("name", ["resnext", "densenet with dropout", "vgg11_bn"])
def test_every_exit_can_be_asked_where_it_looked(name: str) -> None:
    network = with_exits(MODULES[name](), image_size=64, placement="linear", num_early=2)
    assert not [layer for layer in network.modules() if getattr(layer, "inplace", False)]
    picture = images(1, 3, 64, 64)
    for method, exit_index in itertools.product(("grad_cam", "saliency"), range(3)):
        maps = [SALIENCY[method].function(network, picture, exit_index, t) for t in range(5)]
        assert all(one.shape == (64, 64) for one in maps)
        assert max(one.max() for one in maps) == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_has_torchvisions_parameters(name: str) -> None:
    network = on_meta(spec(name, num_classes=1000))
    expected = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize("name", LIGHT)
def test_every_tensor_has_its_name(name: str) -> None:
    with torch.device("meta"):
        module = torchvision.models.get_model(name)
    names = torchvision_names(f"torchvision-{name}")
    assert set(names) == set(module.state_dict())
    assert set(names.values()) == set(on_meta(spec(name)).state_dict())


@pytest.mark.parametrize("name", LIGHT)
def test_counts_the_macs_that_torchvision_says(name: str) -> None:
    with torch.device("meta"):
        cost = count(build(spec(name, num_classes=1000)), 3, 224)
    published = torchvision.models.get_model_weights(name).DEFAULT.meta["_ops"]
    assert cost.plain_macs / 1e9 == pytest.approx(published, rel=0.01)


def test_a_vggs_classifier_counts() -> None:
    cost = count(with_exits(small_vgg(), image_size=64), 3, 64)
    assert cost.head_macs == (512 * 7 * 7 * 16 + 16 * 5,)


@pytest.mark.parametrize(
    ("name", "number", "some", "others"),
    [
        ("resnet18", 7, {"stage1_1", "stage4_1"}, {"stem"}),
        ("densenet121", 58, {"dense1_1", "dense4_16"}, {"stem", "transition1", "norm"}),
        ("vgg11", 4, {"stage1", "stage2", "stage3", "stage4"}, set()),
    ],
)
def test_where_exits_may_stand(name: str, number: int, some: set[str], others: set[str]) -> None:
    with torch.device("meta"):
        trunk = TRUNKS[f"torchvision-{name}"](3)
    free = {n for n, ok in zip(trunk.names[:-1], trunk.exit_allowed, strict=False) if ok}
    assert len(free) == number
    assert some <= free
    assert not others & free


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
@pytest.mark.parametrize("placement", ["linear", "golden"])
def test_placements_go_by_the_whole_networks_cost(name: str, placement: str) -> None:
    with torch.device("meta"):
        network = build(spec(name, placement=placement, num_early=2))
        macs = block_macs(network.trunk, 3, 64)
        plain = count(network, 3, 64).plain_macs
    shares = [total / plain for total in itertools.accumulate(macs)]
    places = place(placement, 2, shares, network.trunk.exit_allowed)
    assert network.exit_names[:-1] == tuple(network.trunk.names[index] for index in places)


@pytest.mark.parametrize("name", LIGHT)
def test_any_channels_and_classes(name: str) -> None:
    asked = spec(name, exits=EXITS[name], in_channels=1, num_classes=3)
    with torch.device("meta"):
        outputs = build(asked)(torch.zeros(2, 1, 64, 64))
    assert outputs.logits.shape == (2, 3, 3)
    assert outputs.confidence_logits.shape == (2, 2)


def test_fresh_weights_follow_the_seed() -> None:
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(build(spec("resnet18", exits=("stage1_2",))).eval())
    with torch.no_grad():
        one, same, other = (network(images(1, 3, 64, 64)).logits for network in made)
    assert one.isfinite().all()
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


class OwnForward(torchvision.models.ResNet):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        return torch.square(super().forward(x))


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (
            torchvision.models.squeezenet1_1,
            {},
            "ResNet .*DenseNet or VGG.*but got SqueezeNet: cut",
        ),
        (
            lambda: OwnForward(BasicBlock, [1, 1, 1, 1]),
            {},
            "OwnForward has a forward method of its own",
        ),
        (small_vgg, {"image_size": 16}, "image_size.*16.*choose larger images"),
        (small_vgg, {"exits": ["stage5"]}, "Possible: stage1, stage2, stage3, stage4"),
        (small_vgg, {"placement": "linear", "num_early": 5}, "from 0 to 4.*but got 5"),
        (small_vgg, {"exit": ["stage1"]}, "`exit` is not valid"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    module: Callable[[], nn.Module], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        with_exits(module(), **({"image_size": 64} | options))


def test_a_transformer_is_refused_before_it_is_run() -> None:
    with torch.device("meta"):
        module = torchvision.models.vit_b_16()
    with pytest.raises(UserError, match="but got VisionTransformer: cut it"):
        with_exits(module, image_size=64)


def test_a_network_without_a_place_for_an_exit_says_so() -> None:
    module = small_vgg()
    features = module.get_submodule("features")
    for name, layer in features.named_children():
        if isinstance(layer, nn.MaxPool2d):
            setattr(features, name, nn.AvgPool2d(2))
    with pytest.raises(UserError, match="it has none: leave `exits` empty or choose another"):
        with_exits(module, image_size=64, exits=["stage1"])
