import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from core.errors import UserError
from core.saliency import grad_cam
from tests.core.networks import network


@pytest.mark.parametrize("exit_index", range(3))
def test_grad_cam_is_a_map_of_the_image(exit_index: int) -> None:
    made = network().requires_grad_(False)
    image = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    maps = [grad_cam(made, image, exit_index, target) for target in range(10)]
    assert all(one.shape == (28, 28) and one.min() >= 0 for one in maps)
    assert max(one.max() for one in maps) == pytest.approx(1)
    assert any(not np.allclose(maps[0], one) for one in maps[1:])


def test_grad_cam_finds_what_the_exit_reads() -> None:
    made = network()
    with torch.no_grad():  # an exit that just averages the brightness of the stem's first channel
        made.heads["block1"].softmax_branch.weight.zero_()
        made.heads["block1"].softmax_branch.weight[3, 0] = 1.0
    image = torch.zeros(1, 1, 28, 28)
    image[..., 4:10, 4:10] = 3.0
    features = made.stage(0, image).detach()[0, 0]
    expected = features.clamp(min=0)
    got = grad_cam(made, image, 0, 3)
    small = torch.nn.functional.interpolate(
        torch.from_numpy(got)[None, None], (14, 14), mode="area"
    )
    correlation = np.corrcoef(small.flatten().numpy(), expected.flatten().numpy())[0, 1]
    assert correlation > 0.9


@pytest.mark.parametrize("exit_index", range(3))
def test_grad_cam_equals_captums(exit_index: int) -> None:
    made = network().requires_grad_(False)
    image = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    last_block = made.trunk.blocks[made.stage_ranges[exit_index][1] - 1]
    reference = LayerGradCam(lambda x: made(x).logits[:, exit_index], last_block)
    for target in range(3):
        maps = reference.attribute(image.requires_grad_(), target, relu_attributions=True)
        maps = torch.nn.functional.interpolate(maps, (28, 28), mode="bilinear")[0, 0].detach()
        expected = maps / maps.max() if maps.max() > 0 else maps
        got = grad_cam(made, image.detach(), exit_index, target)
        np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)


def test_stages_behind_the_exit_are_not_run() -> None:
    made = network()
    ran: list[int] = []
    stage = made.stage
    made.stage = lambda i, x: ran.append(i) or stage(i, x)  # type: ignore[method-assign,func-returns-value]
    grad_cam(made, torch.zeros(1, 1, 28, 28), 1, 0)
    assert ran == [0, 1]


def test_the_network_is_left_without_gradients() -> None:
    made = network()
    grad_cam(made, torch.randn(1, 1, 28, 28), 2, 0)
    assert all(parameter.grad is None for parameter in made.parameters())


@pytest.mark.parametrize(("exit_index", "target"), [(3, 0), (-1, 0), (0, 10), (0, -1)])
def test_no_such_exit_or_class(exit_index: int, target: int) -> None:
    with pytest.raises(UserError, match=r"expected `(exit_index|target)` from 0 to"):
        grad_cam(network(), torch.zeros(1, 1, 28, 28), exit_index, target)
