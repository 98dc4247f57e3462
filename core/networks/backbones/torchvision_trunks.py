"""torchvision's ResNet, DenseNet and VGG modules, cut into blocks that an exit may follow."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import VGG, DenseNet, ResNet

from core.foundation.errors import UserError
from core.networks.heads import HeadOutput
from core.networks.network import ExitNetwork
from core.networks.trunk import TRUNKS, Block, Trunk

PREFIX = "torchvision-"
FAMILIES = ("resnet*", "resnext*", "wide_resnet*", "densenet*", "vgg*")


class OwnClassifier(nn.Module):
    """A final head made of a module's own pooling and classifier.

    Its tensors are named as a `Head`'s, so the weights of a pooled linear classifier fit both.
    """

    def __init__(self, pool: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.reader = nn.Sequential(pool, nn.Flatten())
        self.softmax_branch = classifier

    def forward(self, features: Tensor) -> HeadOutput:
        """Map the trunk's features (B, C, H, W) to logits (B, K)."""
        return HeadOutput(self.softmax_branch(self.reader(features)), None)


class Concatenated(nn.Module):
    """A dense layer that keeps its input: (B, C, H, W) to (B, C + growth, H, W)."""

    def __init__(self, new: nn.Module) -> None:
        super().__init__()
        self.new = new

    def forward(self, features: Tensor) -> Tensor:
        """Put the new channels behind the old ones."""
        return torch.cat([features, self.new(features)], dim=1)


def check_family(module: nn.Module) -> None:
    """Raise `UserError` unless a module is of a family that `cut` knows."""
    if not isinstance(module, ResNet | DenseNet | VGG):
        raise UserError(
            "expected `module` to be a ResNet (ResNeXt, Wide ResNet), DenseNet or VGG of "
            f"torchvision, but got {type(module).__name__}: cut it into named blocks yourself "
            "(core.networks.trunk.Trunk) and give them to core.networks.network.ExitNetwork."
        )


def cut(module: nn.Module) -> Trunk:
    """Cut a module into a trunk and its own classifier; the module's layers become the trunk's.

    In-place activations become out-of-place ones, which attribution needs. Exits may follow
    residual blocks, dense layers and max pools.

    Args:
        module: one of torchvision's ResNets (ResNeXt, Wide ResNet), DenseNets or VGGs, possibly
            with other layers put in their places; not to be used on its own afterwards.

    Raises:
        UserError: a module of another family.
    """
    check_family(module)
    pieces = _take_apart(module)
    own = OwnClassifier(pieces.pool, pieces.classifier)
    return Trunk(pieces.blocks, partial(_given, own), initialise=False)


def torchvision_names(backbone: str) -> dict[str, str]:
    """Map torchvision's tensor names to those of the plain network of a ``torchvision-…`` backbone.

    "layer1.0.conv1.weight" becomes "trunk.blocks.stage1_1.conv1.weight".
    """
    module = _without_storage(backbone.removeprefix(PREFIX))
    theirs = {id(tensor): name for name, tensor in module.state_dict(keep_vars=True).items()}
    trunk = cut(module)
    network = ExitNetwork(trunk, (), (), trunk.final_head((1, 1, 1), 1))
    return {theirs[id(tensor)]: name for name, tensor in network.state_dict(keep_vars=True).items()}


@dataclass(frozen=True)
class _Pieces:
    blocks: list[Block]
    pool: nn.Module
    classifier: nn.Module


def _take_apart(module: nn.Module) -> _Pieces:
    for layer in module.modules():
        if getattr(layer, "inplace", False):
            layer.inplace = False  # type: ignore[assignment]
    if isinstance(module, ResNet):
        return _Pieces(_resnet_blocks(module), module.avgpool, module.fc)
    if isinstance(module, DenseNet):
        return _Pieces(_densenet_blocks(module), nn.AdaptiveAvgPool2d(1), module.classifier)
    assert isinstance(module, VGG)
    return _Pieces(_vgg_blocks(module), module.avgpool, module.classifier)


def _resnet_blocks(module: ResNet) -> list[Block]:
    stem = OrderedDict(conv=module.conv1, norm=module.bn1, relu=module.relu, pool=module.maxpool)
    blocks = [Block("stem", nn.Sequential(stem), _channels(stem.values()), exit_allowed=False)]
    stages = (module.layer1, module.layer2, module.layer3, module.layer4)
    for stage, layer in enumerate(stages, start=1):
        for number, block in enumerate(layer.children(), start=1):
            channels = _channels([block], blocks[-1].channels)
            blocks.append(Block(f"stage{stage}_{number}", block, channels))
    return blocks


def _densenet_blocks(module: DenseNet) -> list[Block]:
    stem: OrderedDict[str, nn.Module] = OrderedDict()
    blocks: list[Block] = []
    for name, part in module.features.named_children():
        if name.startswith("denseblock"):
            if not blocks:
                channels = _channels(stem.values())
                blocks.append(Block("stem", nn.Sequential(stem), channels, exit_allowed=False))
            stage = name.removeprefix("denseblock")
            for number, layer in enumerate(part.children(), start=1):
                channels += _channels([layer])
                blocks.append(Block(f"dense{stage}_{number}", Concatenated(layer), channels))
        elif name.startswith("transition"):
            channels = _channels([part])
            blocks.append(Block(name, part, channels, exit_allowed=False))
        elif name == "norm5":
            closing = nn.Sequential(OrderedDict(norm=part, relu=nn.ReLU()))
            blocks.append(Block("norm", closing, channels, exit_allowed=False))
        else:
            stem[name] = part
    return blocks


def _vgg_blocks(module: VGG) -> list[Block]:
    blocks: list[Block] = []
    stage: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 0
    for name, layer in module.features.named_children():
        stage[name] = layer
        channels = _channels([layer], channels)
        if isinstance(layer, nn.MaxPool2d):
            blocks.append(Block(f"stage{len(blocks) + 1}", nn.Sequential(stage), channels))
            stage = OrderedDict()
    if stage:
        blocks.append(Block("rest", nn.Sequential(stage), channels, exit_allowed=False))
    return blocks


def _channels(layers: Iterable[nn.Module], before: int = 0) -> int:
    """Return how many channels layers put out that are given ``before``."""
    channels = before
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, nn.Conv2d):
                channels = module.out_channels
    return channels


def _given(head: nn.Module, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    return head


def _without_storage(name: str, in_channels: int = 3, num_classes: int = 1000) -> nn.Module:
    with torch.device("meta"):
        module: nn.Module = torchvision.models.get_model(name, num_classes=num_classes)
        stem = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
        stem.in_channels = in_channels
        stem.weight = nn.Parameter(torch.empty(stem.out_channels, in_channels, *stem.kernel_size))
    return module


def _fresh(module: nn.Module) -> nn.Module:
    module.to_empty(device=torch.get_default_device())
    for layer in module.modules():
        reset = getattr(layer, "reset_parameters", None)
        if reset is not None:
            reset()
    return module


def _fresh_trunk(name: str, in_channels: int) -> Trunk:
    pieces = _take_apart(_without_storage(name, in_channels))
    for block in pieces.blocks:
        _fresh(block.module)
    return Trunk(pieces.blocks, partial(_fresh_classifier, name))


def _fresh_classifier(name: str, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    pieces = _take_apart(_without_storage(name, num_classes=num_classes))
    return _fresh(OwnClassifier(pieces.pool, pieces.classifier))


for _name in torchvision.models.list_models(module=torchvision.models, include=FAMILIES):
    TRUNKS.register(PREFIX + _name)(partial(_fresh_trunk, _name))
