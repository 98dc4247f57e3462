"""A stored transform gives torchvision's own numbers, to the bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models
from torchvision import transforms as v1
from torchvision.transforms import v2

from core.data.images import fit
from core.data.transform import (
    CenterCrop,
    CentralSquare,
    EvaluationTransform,
    Resize,
    Step,
    UnstorableTransformError,
)
from core.foundation.errors import UserError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FLOAT = v2.ToDtype(torch.float32, scale=True)


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


PRESETS = {
    "bilinear 256 to 224": models.ResNet18_Weights.IMAGENET1K_V1,
    "bilinear 232 to 224": models.ResNet50_Weights.IMAGENET1K_V2,
    "bicubic 256 to 224": models.EfficientNet_B0_Weights.IMAGENET1K_V1,
    "bicubic 384": models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1,
    "bilinear 342 to 299": models.Inception_V3_Weights.IMAGENET1K_V1,
}
COMPOSED: dict[str, tuple[tuple[int, int, int], Callable[[], Any]]] = {
    "v1": (
        (3, 32, 32),
        lambda: v1.Compose(
            [v1.Resize(40), v1.CenterCrop(32), v1.ToTensor(), v1.Normalize(MEAN, STD)]
        ),
    ),
    "v1, exact size, nearest": (
        (3, 24, 32),
        lambda: v1.Compose([v1.Resize((24, 32), v1.InterpolationMode.NEAREST), v1.ToTensor()]),
    ),
    "v1, bytes first": (
        (3, 32, 32),
        lambda: v1.Compose(
            [
                v1.Resize((32, 32)),
                v1.PILToTensor(),
                v1.ConvertImageDtype(torch.float32),
                v1.Normalize(0.5, 0.5),
            ]
        ),
    ),
    "v1, grey digits": (
        (1, 28, 28),
        lambda: v1.Compose(
            [v1.Grayscale(), v1.Resize((28, 28)), v1.ToTensor(), v1.Normalize((0.13,), (0.3,))]
        ),
    ),
    "v1, padded": ((3, 64, 64), lambda: v1.Compose([v1.CenterCrop(64), v1.ToTensor()])),
    "v1, pictures of one size": (
        (3, 32, 32),
        lambda: v1.Compose([v1.ToTensor(), v1.Normalize(MEAN, STD)]),
    ),
    "v1, square pictures": ((1, 28, 28), lambda: v1.Compose([v1.Resize(28), v1.ToTensor()])),
    "v2": (
        (3, 32, 32),
        lambda: v2.Compose(
            [v2.Resize(40), v2.CenterCrop(32), v2.ToImage(), FLOAT, v2.Normalize(MEAN, STD)]
        ),
    ),
    "v2, resized as a tensor": (
        (3, 32, 32),
        lambda: v2.Compose(
            [
                v2.PILToTensor(),
                v2.Resize(40, interpolation=3, antialias=True, max_size=90),
                v2.CenterCrop(32),
                FLOAT,
                v2.Normalize([0.5], [0.5]),
            ]
        ),
    ),
    "v2, not antialiased, grey in three channels": (
        (3, 32, 32),
        lambda: v2.Compose(
            [v2.ToImage(), v2.Resize((32, 32), antialias=False), v2.Grayscale(3), FLOAT]
        ),
    ),
    "nested": (
        (1, 16, 16),
        lambda: v1.Compose(
            [torch.nn.Sequential(v1.Resize(16), v1.CenterCrop((16, 16))), v1.ToTensor()]
        ),
    ),
}


def check(transform: Any, shape: tuple[int, int, int]) -> None:
    value = EvaluationTransform.of(transform, shape)
    again = EvaluationTransform.model_validate_json(value.model_dump_json())
    assert again == value
    mode = "L" if value.channels == 1 else "RGB"
    height, width = shape[1:]
    sizes = (97, 61), (60, 333), (50, 50), (width, height)
    for own in (*(picture(*size) for size in sizes), picture(20, 20, "L")):
        pixels = again.pixels(own)
        assert pixels.shape == (*shape[1:], shape[0])
        assert pixels.dtype == np.uint8
        expected = transform(own.convert(mode))
        if expected.shape != shape:  # other pictures become such as it is for
            continue
        assert torch.equal(again(own), expected)
        batch = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
        assert torch.equal(again.normalisation(batch)[0], expected)


@pytest.mark.parametrize("weights", PRESETS.values(), ids=PRESETS)
def test_presets_of_weights(weights: Any) -> None:
    transform = weights.transforms()
    (side,) = transform.crop_size
    check(transform, (3, side, side))


@pytest.mark.parametrize("name", COMPOSED)
def test_compositions(name: str) -> None:
    shape, transform = COMPOSED[name]
    check(transform(), shape)


def test_presets_of_timm() -> None:
    data = pytest.importorskip("timm.data")
    check(data.create_transform((3, 32, 32)), (3, 32, 32))


def test_other_pictures_become_such_as_a_transform_is_for() -> None:
    plain, square = (
        COMPOSED[f"v1, {name}"] for name in ("pictures of one size", "square pictures")
    )
    value = EvaluationTransform.of(plain[1](), plain[0])
    np.testing.assert_array_equal(value.pixels(picture(97, 61)), fit(picture(97, 61), 32, 3))
    value = EvaluationTransform.of(square[1](), square[0])
    own = picture(97, 61, "L")
    expected = square[1]()(own.crop((18, 0, 79, 61)))
    assert torch.equal(value(own), expected)


@pytest.mark.parametrize(("channels", "mode"), [(1, "RGB"), (3, "RGB"), (3, "L"), (1, "L")])
def test_the_square_of_shipped_models_is_what_fit_does(channels: int, mode: str) -> None:
    square = EvaluationTransform.square(28, channels, (0.5,) * channels, (0.25,) * channels)
    own = picture(97, 61, mode)
    np.testing.assert_array_equal(square.pixels(own), fit(own, 28, channels))
    assert str(square) == "largest central square, resized to 28 × 28"
    assert EvaluationTransform.of(square, (channels, 28, 28)) is square


def named_step(image: Image.Image) -> torch.Tensor:
    return v1.functional.to_tensor(image.resize((32, 32)))


class Wrong(v1.Normalize):
    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        return super().forward(tensor) + 1


Wrong.__name__ = "Normalize"


@pytest.mark.parametrize(
    ("transform", "step"),
    [
        (v1.Compose([v1.Lambda(named_step)]), r"step Lambda\(\)"),
        (named_step, "step <function named_step"),
        (v1.Compose([v1.ToTensor(), v1.Resize((32, 32))]), r"step Resize\(size=\(32, 32\)"),
        (
            v1.Compose([v1.Resize((32, 32)), v1.ToTensor(), Wrong([0.5], [0.5])]),
            "Compose gives other numbers",
        ),
        (
            v2.Compose([v2.Resize((32, 32)), v2.ToImage(), v2.ToDtype(torch.float32)]),
            r"step ToDtype",
        ),
    ],
)
def test_what_cannot_be_stored_names_the_step_and_what_to_do(transform: Any, step: str) -> None:
    with pytest.raises(UnstorableTransformError, match=f"{step}.*use a torchvision Compose"):
        EvaluationTransform.of(transform, (3, 32, 32))


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (
            v1.Compose([v1.Resize(48), v1.CenterCrop(48), v1.ToTensor()]),
            r"of shape \(3, 32, 32\), .* but Compose yields float32 of shape \(3, 48, 48\)",
        ),
        (v1.Compose([v1.Resize((32, 32)), v1.PILToTensor()]), "yields uint8 of shape"),
        (v1.Resize((32, 32)), "Resize yields Image"),
        (v1.Compose([v1.Grayscale(), v1.Resize((32, 32)), v1.ToTensor()]), r"\(1, 32, 32\)"),
        (v1.ToPILImage(), "ToPILImage raised TypeError"),
    ],
)
def test_a_transform_of_another_shape_is_a_sentence(transform: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        EvaluationTransform.of(transform, (3, 32, 32))


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (240, 240)])
@pytest.mark.parametrize(
    "steps",
    [
        (CentralSquare(size=32),),
        (Resize(size=(40,)), CenterCrop(size=(32, 32))),
        (Resize(size=(40,), max_size=50), CenterCrop(size=(24, 32))),
        (Resize(size=(32, 32)),),
        (CenterCrop(size=(100, 50)), Resize(size=(32, 32))),
    ],
)
def test_how_much_of_a_picture_is_seen(steps: tuple[Step, ...], size: tuple[int, int]) -> None:
    width, height = size
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    picture = Image.fromarray(np.stack([across, down, down], axis=2).astype(np.uint8))
    transform = EvaluationTransform(
        size=(32, 32), channels=3, steps=steps, mean=(0,) * 3, std=(1,) * 3
    )
    seen = transform._stepped(picture).astype(float)
    shares = transform.visible_share(width, height)
    for channel, share, least, most in (
        (0, shares[0], seen[:, 0], seen[:, -1]),
        (1, shares[1], seen[0], seen[-1]),
    ):
        # the first and last pixels' centres lie half a pixel inside
        got = (most[:, channel].mean() - least[:, channel].mean()) / 255
        assert got == pytest.approx(share * (1 - 1 / 32), abs=0.02)


def test_the_middle_part_is_what_is_seen_without_a_choice() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    picture = Image.fromarray(pixels)
    transform = EvaluationTransform.square(32, 1, (0.5,), (0.5,))
    middle = transform.pixels_in(picture, (15, 0, 75, 60))
    np.testing.assert_array_equal(middle, transform.pixels(picture))
    left = transform.pixels_in(picture, (0, 0, 60, 60))
    assert not np.array_equal(left, middle)
    assert transform.pixels_in(picture, (3.2, 3.2, 3.3, 3.3)).shape == (32, 32, 1)
