"""Early exits on modules of torchvision's, of timm's and of one's own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import (
    ConvNeXt,
    DenseNet,
    MaxVit,
    ResNet,
    SwinTransformer,
    VisionTransformer,
)
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.swin_transformer import (
    PatchMerging,
    PatchMergingV2,
    SwinTransformerBlock,
    SwinTransformerBlockV2,
)

from core.analysis.saliency import SALIENCY
from core.foundation.errors import UserError
from core.networks.attach import attach, cut_points
from core.networks.build import build, build_hollow
from core.networks.constructors import Weightless, recognise
from core.networks.cost import count, counted
from core.networks.heads import HEADS
from core.networks.placement import place
from core.networks.spec import NetworkSpec
from core.networks.trunk import key
from tests.core.exits.test_inference import assert_equal_to_table, mixed_policy, table_of
from tests.core.networks.small import filled, noise, torchvision_module

NAMED = (
    *("alexnet", "vgg11", "resnet18", "googlenet", "inception_v3", "mobilenet_v2"),
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
    "densenet": lambda: DenseNet(8, (2, 2, 2, 2), 16, num_classes=10),
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
    module = torchvision_module(
        name, 10, **(google if name in ("googlenet", "inception_v3") else {})
    )
    if name in ("alexnet", "vgg11"):  # whose classifiers are half a gigabyte
        width = module.avgpool(torch.zeros(1, 512 if name == "vgg11" else 256, 9, 9)).numel()
        module.classifier = nn.Sequential(
            *(nn.Linear(width, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 10))
        ).eval()
    return module


def images(count: int, size: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, size, size, generator=generator)


@pytest.mark.parametrize("name", [*NAMED, *SMALL])
def test_every_family_of_torchvision(name: str, tmp_path: Path) -> None:
    check_all_the_way(partial(module_of, name), SIZES.get(name, 32), tmp_path)


def check_all_the_way(make: Callable[[], nn.Module], size: int, folder: Path) -> None:
    module, pictures = make(), images(2, size)
    network = attach(module, pictures[:1])
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
        assert seen.max() > 0
    save_file(network.state_dict(), folder / "weights.safetensors")
    again = build_hollow(network.spec, make).eval()
    weights = load_file(folder / "weights.safetensors")  # as they lie in the file: not aligned
    again.load_state_dict({name: t.clone() for name, t in weights.items()}, assign=True)
    with torch.no_grad():
        assert torch.equal(again(pictures).logits, network(pictures).logits)


NAMES = {
    "resnet18": ["maxpool", "layer1.0", "layer1", "layer2.0", "layer2", "layer3.0", "layer3"],
    "vgg11": ["features.2", "features.5", "features.7", "features.10", "features.12"],
    "densenet121": ["features.pool0", "features.denseblock1", "features.transition1"],
    "googlenet": ["conv1", "conv2", "conv3", "inception3a", "inception3b", "inception4a"],
    "mobilenet_v2": ["features.0", "features.1", "features.2", "features.3", "features.4"],
    "shufflenet_v2_x0_5": ["conv1", "stage2.0", "stage2.1", "stage2.2", "stage2", "stage3.0"],
    "swin": ["features.0", "features.1", "features.2", "features.3.0", "features.3"],
    "vit": ["encoder.dropout", *(f"encoder.layers.encoder_layer_{index}" for index in range(3))],
    "maxvit": ["stem.0", "stem", "blocks.0.layers.0.layers.MBconv"],
}


@pytest.mark.parametrize("name", NAMES)
def test_places_are_named_as_the_module_names_its_children(name: str) -> None:
    points = cut_points(module_of(name), images(1, 64 if name == "densenet121" else 32))
    names = [point.name for point in points]
    assert names[: len(NAMES[name])] == NAMES[name]
    assert len(set(names)) == len(names)
    shares = [point.share for point in points]
    assert shares == sorted(set(shares))
    assert 0 < shares[0] < shares[-1] < 1


def test_a_place_knows_its_shape_and_its_other_names() -> None:
    first, *_, last = cut_points(module_of("resnet18"), images(1, 64))
    assert (first.name, first.shape, first.layout) == ("maxpool", (64, 16, 16), "map")
    assert first.aliases == ("conv1", "bn1", "relu")
    assert (last.name, last.shape) == ("layer4.0", (512, 2, 2))
    swin, vit = (cut_points(module_of(name), images(1, 32))[-1] for name in ("swin", "vit"))
    assert (swin.shape, swin.layout) == ((64, 2, 2), "channels-last")
    assert (vit.shape, vit.layout) == ((32, 4, 4), "tokens")


def small_resnet() -> nn.Module:
    """What people make of a ResNet for small grey images: another stem, a classifier of layers."""
    with Weightless():
        module = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5)
        module.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
        module.maxpool = nn.Identity()
        module.layer4 = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(256, 32, 1))
        module.fc = nn.Sequential(nn.Linear(32, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 10))
    return filled(module)


class Functional(nn.Module):
    """Written by hand: nothing but functions between the layers, which work in place, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 8, 3, 2, 1)
        self.conv4 = nn.Conv2d(8, 8, 3, 2, 1)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8 * 4 * 4, 10)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        count = x.shape[0]
        x = x * scale
        x = F.max_pool2d(F.relu(self.conv1(x), inplace=True), 2)
        shortcut = self.act(x)
        x = self.conv2(shortcut)
        x += shortcut
        x = self.act(self.conv3(x)).clamp_(max=6)
        x = F.dropout(torch.relu_(self.conv4(x)), 0.5, self.training)
        return self.fc(x.view(count, -1))


class Encoder(nn.Module):
    """Written by hand: PyTorch's own transformer behind patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True),
            num_layers=4,
            norm=nn.LayerNorm(16),
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class DependsOnValues(nn.Module):
    """A module that torch.fx cannot trace."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if x.isnan().any():
            x = x.nan_to_num()
        return self.conv(x)


def with_opaque_parts() -> nn.Module:
    torch.manual_seed(0)
    middle = [layer for _ in range(3) for layer in (DependsOnValues(), nn.ReLU(inplace=True))]
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), *middle, pooled)


OWN: dict[str, Callable[[], nn.Module]] = {
    "functional": Functional,
    "encoder": Encoder,
    "opaque parts": with_opaque_parts,
}


@pytest.mark.parametrize("name", OWN)
def test_modules_written_by_hand(name: str, tmp_path: Path) -> None:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return OWN[name]().eval()

    check_all_the_way(make, 32, tmp_path)


def test_a_replaced_stem_and_classifier() -> None:
    module, pictures = small_resnet(), images(2, 28, 1)
    network = attach(module, pictures, exits=["layer1", "layer3"])
    assert network.spec.backbone == "factory"
    assert network.spec.factory == "torchvision.models.resnet:ResNet"
    assert (network.spec.in_channels, network.spec.image_size) == (1, 28)
    with torch.no_grad():
        assert torch.equal(network(pictures).logits[:, -1], module(pictures))


def test_places_of_a_network_of_functions_are_named_by_the_layers_before_them() -> None:
    points = cut_points(Functional(), images(1, 32))
    assert [point.name for point in points] == ["conv1", "conv2", "conv3"]
    assert [point.shape for point in points] == [(8, 16, 16), (8, 16, 16), (8, 8, 8)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("efficientnet_lite0", {}),
        ("vit_tiny_patch16_224", {"img_size": 32, "depth": 5, "patch_size": 8}),
        ("swin_s3_tiny_224", {"img_size": 32, "depths": (1, 1, 2, 1), "window_size": 4}),
    ],
)
def test_three_families_of_timm(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")

    def make() -> nn.Module:
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=10, **options).eval()

    check_all_the_way(make, 32, tmp_path)


def test_a_constructor_of_timms_is_recognised() -> None:
    timm = pytest.importorskip("timm")
    made = timm.create_model("regnety_002", num_classes=7, in_chans=1)
    network = attach(made, images(1, 32, 1), exits=["s1"], num_classes=3)
    assert network.spec.backbone == "timm-regnety_002"
    assert build(network.spec)(images(2, 32, 1)).logits.shape == (2, 2, 3)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_the_module_stays_as_it_is(name: str) -> None:
    module = module_of(name).train()
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    in_place = [getattr(layer, "inplace", None) for layer in module.modules()]
    network = attach(module, images(1, 32), exits=1)
    assert not network.training
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    network.train()(images(2, 32))
    assert module.training
    assert [getattr(layer, "inplace", None) for layer in module.modules()] == in_place
    assert all(torch.equal(before[key], tensor) for key, tensor in module.state_dict().items())


def test_nothing_works_in_place_and_drop_outs_work_in_training() -> None:
    network = attach(Functional(), images(1, 32), exits=["conv2"])
    assert not [layer for layer in network.modules() if getattr(layer, "inplace", False)]
    pictures = images(2, 32).requires_grad_()
    features = network.stage(0, pictures)
    before = features.detach().clone()
    final = [network.head(1, network.stage(1, features)).logits for _ in range(2)]
    assert torch.equal(features, before)
    assert torch.equal(*final)
    network.train()
    dropped = [network.head(1, network.stage(1, features)).logits for _ in range(2)]
    assert not torch.equal(*dropped)


def test_exits_stand_where_they_are_asked_to() -> None:
    module, picture = module_of("resnet18"), images(1, 32)
    points = cut_points(module, picture)

    def exits(**options: Any) -> tuple[str, ...]:
        return attach(module, picture, **options).exit_names[:-1]

    assert exits(exits=["layer1", "layer2.1"]) == ("layer1", "layer2")  # an alias
    assert exits(exits="conv1") == ("maxpool",)
    assert exits(exits=[]) == ()
    assert len(exits()) == 3
    for rule in ("linear", "pareto"):
        shares = [point.share for point in points] + [1.0]
        expected = place(rule, 4, shares, [True] * len(shares))
        assert exits(exits=4, placement=rule) == tuple(points[index].name for index in expected)
    assert exits(exits=len(points)) == tuple(point.name for point in points)


def test_plain_weights_fit_wherever_exits_stand() -> None:
    module, picture = module_of("resnet18"), images(1, 32)
    plain, one, other = (attach(module, picture, exits=exits) for exits in ([], 1, 4))
    for network in (one, other):
        shared = {name for name in network.state_dict() if not name.startswith("heads.layer")}
        assert shared - {name for name in shared if "heads.maxpool" in name} == set(
            plain.state_dict()
        )


@pytest.mark.parametrize("name", ["vit", "swin"])
@pytest.mark.parametrize("head", [*HEADS, "deep8-8", "strided8"])
def test_every_head_reads_every_layout(name: str, head: str) -> None:
    network = attach(module_of(name), images(1, 32), exits=2, head=head)
    outputs = network(images(2, 32))
    assert outputs.logits.shape == (2, 3, 10)
    assert outputs.confidence_logits is not None
    assert outputs.confidence_logits.shape == (2, 2)


def test_an_exit_goes_on_as_the_network_does_where_that_reads_maps() -> None:
    network = attach(module_of("resnet18"), images(1, 32), exits=2, head="rest2")
    for exit_name in network.exit_names[:-1]:
        own = network.heads[key(exit_name)].reader.rest.state_dict()
        assert own
        whole = network.trunk.blocks.state_dict()
        assert all(torch.equal(tensor, whole[name]) for name, tensor in own.items())
    assert network(images(2, 32)).logits.shape == (2, 3, 10)
    with pytest.raises(UserError, match="has tokens: choose another head"):
        attach(module_of("vit"), images(1, 32), exits=2, head="rest2")


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "vit", "googlenet"])
def test_another_number_of_classes_gets_a_fresh_classifier(name: str, tmp_path: Path) -> None:
    module, picture = module_of(name), images(2, 32)
    network = attach(module, picture, num_classes=4)
    assert network.spec.num_classes == 4
    assert network(picture).logits.shape == (2, 4, 4)
    assert module(picture).shape == (2, 10)
    again = build(network.spec, lambda: module_of(name))
    assert {n: t.shape for n, t in again.state_dict().items()} == {
        n: t.shape for n, t in network.state_dict().items()
    }


def test_a_network_without_a_classifying_layer_is_built_again() -> None:
    network = attach(without_classifier(), images(1, 32), exits=1)
    assert (
        build(network.spec, without_classifier).state_dict().keys() == network.state_dict().keys()
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet34", {}),
        ("wide_resnet50_2", {}),
        ("vgg13_bn", {}),
        ("inception_v3", {"transform_input": True, "aux_logits": False, "init_weights": False}),
        ("vit_b_32", {"image_size": 32}),
        ("swin_v2_t", {}),
        ("maxvit_t", {"input_size": (224, 224)}),
    ],
)
def test_constructors_are_recognised(name: str, options: dict[str, Any]) -> None:
    with Weightless():
        module = torchvision.models.get_model(name, num_classes=3, **options)
    size = 224 if name == "maxvit_t" else 32
    values = {"num_classes": 3, "in_channels": 3, "image_size": size}
    spec = NetworkSpec.model_validate({"backbone": "factory"} | values)
    assert recognise(module, spec) == f"torchvision-{name}"
    next(m for m in module.modules() if isinstance(m, nn.Conv2d)).stride = (7, 7)
    assert recognise(module, spec) is None


def test_a_constructor_takes_other_channels(tmp_path: Path) -> None:
    module = module_of("mobilenet_v3_small")
    stem = module.features[0]
    stem[0] = nn.Conv2d(1, 16, 3, 2, 1, bias=False)
    network = attach(module, images(1, 32, 1), exits=1)
    assert network.spec.backbone == "torchvision-mobilenet_v3_small"
    assert build(network.spec)(images(2, 32, 1)).logits.shape == (2, 2, 10)


class Shared(nn.Module):
    """The same layer twice: between the two uses nothing can be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 8, 3)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.last(self.again(self.again(self.first(x)))))


def test_weights_that_are_used_twice_stay_in_one_block() -> None:
    names = [point.name for point in cut_points(Shared(), images(1, 32))]
    assert "first" in names
    assert "again" not in names
    network = attach(Shared(), images(1, 32), exits=["first"])
    tensors = [tensor.data_ptr() for tensor in network.parameters()]
    assert len(tensors) == len(set(tensors))


def test_other_threads_run_their_networks_while_one_is_traced() -> None:
    module, pictures = module_of("resnet18"), images(1, 32)
    network = attach(module, pictures, exits=1)
    with torch.no_grad():
        expected = network(pictures).logits
    with ThreadPoolExecutor(3) as pool, torch.no_grad():
        attached = [pool.submit(attach, module, pictures, exits=1) for _ in range(3)]
        while not all(future.done() for future in attached):
            assert torch.equal(network(pictures).logits, expected)
    for future in attached:
        assert torch.equal(future.result()(pictures).logits[:, -1], expected[:, -1])


class Branching(nn.Module):
    """Its own forward method asks for the value of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if x.sum() > 0:
            x = -x
        return self.fc(x.mean((2, 3)))


class Answers(nn.Module):
    """Gives back something else than logits of what it computed."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 10, 3)
        self.answer = answer

    def forward(self, x: Tensor) -> object:
        return self.answer(self.conv(x))


class Noise(nn.Module):
    """Draws random numbers in eval mode, too."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


def without_classifier() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)),
        *(nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten()),
    )


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Branching, {}, r"Branching is not \(test_attach\.py, line \d+: .*control flow.*child"),
        (lambda: Answers(lambda x: (x, x)), {}, "logits .* but got tuple .*wrap it"),
        (lambda: Answers(lambda x: x), {}, r"logits .* but got shape \(1, 10, 30, 30\)"),
        (lambda: Answers(lambda x: x.mean((2, 3))), {}, "Answers has 0: build .*Trunk by hand"),
        (small_resnet, {}, r"channels and size that the module takes, .*\(3, 32, 32\)"),
        (Encoder, {"exits": ["encoder.layer.1"]}, r"Did you mean 'encoder\.layers\.1'"),
        (Functional, {"exits": ["conv5"]}, "Did you mean 'conv3'.*Possible: conv1, conv2, conv3"),
        (Functional, {"exits": ["conv2", "conv1"]}, "from first to last"),
        (Functional, {"exits": 4}, "from 0 to 3.*but got 4"),
        (Functional, {"placement": "linaer"}, "Did you mean 'linear'"),
        (Functional, {"head": "pol"}, "Did you mean 'pool'"),
        (Functional, {"heads": ["pool"]}, "3 kinds of head"),
        (Functional, {"head": 3}, "option `head` is not valid"),
        (Functional, {"num_classes": 1}, "option `num_classes` is not valid"),
        (without_classifier, {"num_classes": 3}, "1×1 convolution with 16 outputs, one per class"),
        (lambda: nn.Sequential(Functional(), Noise()), {}, "draws random numbers"),
        (lambda: "resnet18", {}, "nn.Module, but got str"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    make: Callable[[], Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        attach(make(), images(1, 32), **options)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (
            torch.zeros(1, 3, 32, 24),
            r"square images \(B, C, H, W\), but got Tensor of shape \(1, 3",
        ),
        (torch.zeros(3, 32, 32), "as high as wide"),
        (torch.zeros(0, 3, 32, 32), "at least one image"),
        (np.zeros((1, 3, 32, 32)), "but got ndarray"),
        (torch.zeros(1, 3, 8, 8), r"fails on .*\(3, 8, 8\)"),
    ],
)
def test_wrong_examples_are_refused(example: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cut_points(Functional(), example)


def broken() -> nn.Module:
    raise KeyError("weights")


@pytest.mark.parametrize(
    ("backbone", "factory", "message"),
    [
        ("torchvision-resnet19", None, "Did you mean 'resnet18'"),
        ("timm-resnet19", None, r"(timm to be installed|Did you mean 'resnet1)"),
        ("torchvision-maxvit_t", None, "maxvit_t cannot be made for images of 32 pixels.*ValueEr"),
        ("factory", None, r"makes the network's own module \(nets\.py:make\), but got none: pass"),
        ("factory", broken, r"cannot be made .*KeyError: 'weights'"),
        ("factory", lambda: 3, "return an nn.Module, but got int"),
        ("factory", small_resnet, r"fails on .*\(3, 32, 32\)"),
    ],
)
def test_what_cannot_be_made_again_is_refused(
    backbone: str, factory: Callable[[], nn.Module] | None, message: str
) -> None:
    values = {"backbone": backbone, "factory": "nets.py:make", "num_classes": 10}
    spec = NetworkSpec.model_validate(values | {"in_channels": 3, "image_size": 32})
    with pytest.raises(UserError, match=message):
        build(spec, factory)
