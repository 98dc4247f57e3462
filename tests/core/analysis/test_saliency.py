from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from core.analysis.saliency import SALIENCY, grad_cam
from core.foundation.errors import UserError
from core.hub.model import load
from core.hub.registry import shipped_models
from core.networks.attach import attach
from core.networks.trunk import key
from tests.core.networks.small import images_for, network
from tests.core.networks.test_attach import module_of


@pytest.mark.parametrize("exit_index", range(3))
def test_grad_cam_is_a_map_of_the_image(exit_index: int) -> None:
    made = network().requires_grad_(False)
    image = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    maps = [grad_cam(made, image, exit_index, target) for target in range(10)]
    assert all(one.shape == (28, 28) and one.min() >= 0 for one in maps)
    assert max(one.max() for one in maps) > 0
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
    assert got.mean() == pytest.approx(float(expected.mean()), rel=0.1)  # that is the logit


@pytest.mark.parametrize("exit_index", range(3))
def test_grad_cam_equals_captums(exit_index: int) -> None:
    made = network().requires_grad_(False)
    image = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    last_block = made.trunk.blocks[made.stage_ranges[exit_index][1] - 1]
    features = made.trunk.run(image, 0, made.stage_ranges[exit_index][1])
    reference = LayerGradCam(lambda x: made(x).logits[:, exit_index], last_block)
    for target in range(3):
        maps = reference.attribute(image.requires_grad_(), target, relu_attributions=True)
        maps = torch.nn.functional.interpolate(maps, (28, 28), mode="bilinear")[0, 0].detach()
        places = features.shape[2] * features.shape[3]  # captum averages over them
        got = grad_cam(made, image.detach(), exit_index, target)
        np.testing.assert_allclose(got, places * maps.numpy(), atol=1e-5)


def test_grad_cam_of_a_head_that_goes_on_is_of_its_last_maps() -> None:
    made = network(heads=("rest4", "rest2")).requires_grad_(False)
    image = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    for exit_index, name in enumerate(made.exit_names[:-1]):
        rest = made.heads[name].reader.rest
        reference = LayerGradCam(lambda x, at=exit_index: made(x).logits[:, at], rest)
        maps = reference.attribute(image.requires_grad_(), 3, relu_attributions=True)
        places = maps.shape[2] * maps.shape[3]
        large = torch.nn.functional.interpolate(maps, (28, 28), mode="bilinear")[0, 0].detach()
        got = grad_cam(made, image.detach(), exit_index, 3)
        np.testing.assert_allclose(got, places * large.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", SALIENCY)
@pytest.mark.parametrize("exit_index", range(3))
def test_every_method_gives_the_same_map_every_time(name: str, exit_index: int) -> None:
    made = network().requires_grad_(False)
    image = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    first = SALIENCY[name].function(made, image, exit_index, 4)
    state = torch.get_rng_state()
    again = SALIENCY[name].function(made, image, exit_index, 4)
    assert first.shape == (28, 28)
    assert first.dtype == np.float32
    assert 0 <= first.min() <= first.max()
    np.testing.assert_array_equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert not image.requires_grad


@pytest.mark.parametrize("name", ["saliency", "smooth_grad", "integrated_gradients", "occlusion"])
def test_methods_on_pixels_find_the_pixels_an_exit_reads(name: str) -> None:
    made = network()
    with torch.no_grad():  # every exit's answer now depends on the left half alone
        stage = made.stage
    made.stage = lambda i, x: stage(i, x * left if i == 0 else x)  # type: ignore[method-assign]
    left = torch.zeros(28, 28)
    left[:, :10] = 1
    image = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(4))
    found = SALIENCY[name].function(made, image, 1, 2)
    assert found[:, :10].sum() > 0
    assert found[:, 14:].sum() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", SALIENCY)
def test_threads_may_share_a_network(name: str) -> None:
    made = network().requires_grad_(False)
    images = [
        torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
        for seed in range(4)
    ]
    alone = [SALIENCY[name].function(made, image, 2, 1) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: SALIENCY[name].function(made, one, 2, 1), images * 3))
    for index, found in enumerate(together):
        np.testing.assert_allclose(found, alone[index % 4], atol=1e-5)


@pytest.mark.parametrize("name", SALIENCY)
def test_stages_behind_the_exit_are_not_run(name: str) -> None:
    made = network()
    ran: list[str] = []
    for place, block in made.trunk.blocks.named_children():
        block.register_forward_hook(lambda *_, place=place: ran.append(place))
    SALIENCY[name].function(made, torch.zeros(1, 1, 28, 28), 1, 0)
    assert set(ran) == {"stem", "block1", "block2"}


@torch.no_grad()
def test_maps_lie_where_the_tokens_or_the_channels_last_do() -> None:
    vit, swin = module_of("vit"), module_of("swin")
    vit.encoder.pos_embedding.zero_()
    vit.conv_proj.bias.zero_()
    swin.features[0][2].bias.zero_()
    swin.features[0][0].bias.zero_()
    for module, place in ((vit, "encoder.dropout"), (swin, "features.0")):
        image = torch.zeros(1, 3, 32, 32)
        image[..., 8:16, 16:24] = 3  # one patch of the one, four of the other
        made = attach(module, image, exits=[place])
        features = made.to_map(0, made.stage(0, image))
        looks_for = features[0, :, features.shape[2] * 5 // 16, features.shape[3] * 9 // 16]
        made.heads[key(place)].softmax_branch.weight[3] = looks_for
        seen = grad_cam(made, image, 0, 3)
        inside = seen[8:16, 16:24].mean()
        assert inside > 5 * (seen.sum() - 64 * inside) / (32 * 32 - 64)


def test_an_exit_that_reads_the_class_token_alone_looked_somewhere() -> None:
    made = attach(module_of("vit"), torch.zeros(1, 3, 32, 32))
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert max(grad_cam(made, image, 3, target).max() for target in range(3)) > 0


def test_the_network_is_left_without_gradients() -> None:
    made = network()
    grad_cam(made, torch.randn(1, 1, 28, 28), 2, 0)
    assert all(parameter.grad is None for parameter in made.parameters())


@pytest.mark.parametrize("name", SALIENCY)
@pytest.mark.parametrize(("exit_index", "target"), [(3, 0), (-1, 0), (0, 10), (0, -1)])
def test_no_such_exit_or_class(name: str, exit_index: int, target: int) -> None:
    with pytest.raises(UserError, match=r"expected `(exit_index|target)` from 0 to"):
        SALIENCY[name].function(network(), torch.zeros(1, 1, 28, 28), exit_index, target)


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_show_where_each_exit_looked(name: str) -> None:
    model = load(name)
    picture = images_for(model.card)[:1]
    table, image = model.table(picture), model.normalised(picture)
    for exit_index in range(model.card.num_exits):
        for method in ("grad_cam", "saliency"):
            answer = int(table.answers[0, exit_index])
            seen = SALIENCY[method].function(model.network, image, exit_index, answer)
            size = model.card.spec.image_size
            assert seen.shape == (size, size)
            assert np.isfinite(seen).all()
            assert seen.min() >= 0
    assert SALIENCY["saliency"].function(model.network, image, 0, 0).max() > 0
