"""Evaluation transforms: the steps from a picture to a network's input, as a value on its card.

A transform has two halves. The first works on pixels (resize, crop, greyscale) and gives unsigned
bytes, which can be shown and stored; the second divides by 255 and normalises every channel.
Torch is imported only when a picture is transformed.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.data.images import central_square
from core.foundation.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from core.networks.normalisation import Normalisation

Shape = tuple[int, int, int]
"""(C, H, W)."""
Transform = Callable[[Image.Image], "Tensor"]
"""Maps a picture to a network's input, float32 (C, H, W)."""


class UnstorableTransformError(UserError):
    """A transform that works in memory, but that a card cannot store."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Side = Annotated[int, Field(ge=1, le=8192)]
"""In pixels."""
_LONGEST = 50
"""Times the shorter side: more of a picture no network sees, and resized it would be huge."""


def _middle(picture: Image.Image) -> Image.Image:
    """Return the middle of a picture that is far longer than wide."""
    most = _LONGEST * min(picture.size)
    if max(picture.size) <= most:
        return picture
    left, top = (max(side - most, 0) // 2 for side in picture.size)
    return picture.crop((left, top, picture.width - left, picture.height - top))


class CentralSquare(_Frozen):
    """Crop to the largest central square and resize it to (size, size)."""

    kind: Literal["central_square"] = "central_square"
    size: Side

    def apply(self, picture: Any) -> Any:
        return central_square(picture, self.size)

    def __str__(self) -> str:
        return f"largest central square, resized to {self.size} × {self.size}"


class Resize(_Frozen):
    """Resize to (H, W), or the shorter side to the only number in ``size``."""

    kind: Literal["resize"] = "resize"
    size: tuple[Side, ...] = Field(min_length=1, max_length=2)
    interpolation: Literal[
        "nearest", "nearest-exact", "bilinear", "bicubic", "box", "hamming", "lanczos"
    ] = "bilinear"
    max_size: Side | None = None
    """Largest length of the longer side."""
    antialias: bool | None = True
    """Used after `ToTensor` only: before, pictures are always resized with antialiasing."""

    def apply(self, picture: Any) -> Any:
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional

        mode = InterpolationMode(self.interpolation)
        return functional.resize(picture, list(self.size), mode, self.max_size, self.antialias)

    def __str__(self) -> str:
        target = f"shorter side {self.size[0]}" if len(self.size) == 1 else _sides(self.size)
        return f"resized to {target} ({self.interpolation})"


class CenterCrop(_Frozen):
    """Crop to the central (H, W); missing edges are filled with zeros."""

    kind: Literal["center_crop"] = "center_crop"
    size: tuple[Side, Side]

    def apply(self, picture: Any) -> Any:
        from torchvision.transforms.v2 import functional

        return functional.center_crop(picture, list(self.size))

    def __str__(self) -> str:
        return f"cropped to the middle {_sides(self.size)}"


class Grayscale(_Frozen):
    """Replace colours by their luminance, in one channel or in three equal ones."""

    kind: Literal["grayscale"] = "grayscale"
    channels: Literal[1, 3] = 1

    def apply(self, picture: Any) -> Any:
        from torchvision.transforms.v2 import functional

        return functional.rgb_to_grayscale(picture, self.channels)

    def __str__(self) -> str:
        return "made grey"


class ToTensor(_Frozen):
    """Convert the picture to a tensor of bytes: later steps then compute differently."""

    kind: Literal["to_tensor"] = "to_tensor"

    def apply(self, picture: Any) -> Any:
        from torchvision.transforms.v2 import functional

        return functional.pil_to_tensor(picture)

    def __str__(self) -> str:
        return "read as a tensor"


Step = Annotated[
    CentralSquare | Resize | CenterCrop | Grayscale | ToTensor, Field(discriminator="kind")
]


class EvaluationTransform(_Frozen):
    """Steps on pixels, then division by 255 and normalisation.

    Equal, to the bit, to the torchvision transform that it was made `of`, for every picture that
    the latter brings to the network's size. Other pictures are cropped to their largest central
    square first, and resized where that is not enough.
    """

    size: tuple[Side, Side]
    """(H, W) that the network reads."""
    channels: Literal[1, 3]
    """Of pictures before the first step; pictures of another mode are converted."""
    steps: tuple[Step, ...]
    mean: tuple[float, ...]
    """Per channel, of pixels in [0, 1]."""
    std: tuple[float, ...]
    reciprocal: bool = False
    """Whether pixels are multiplied by 1/255, as torchvision's v2 does, instead of divided by 255.

    The results differ in the last bit.
    """

    @model_validator(mode="after")
    def _normalises_every_channel(self) -> "EvaluationTransform":
        grey = [step.channels for step in self.steps if isinstance(step, Grayscale)]
        channels = grey[-1] if grey else self.channels
        if not len(self.mean) == len(self.std) == channels or 0 in self.std:
            raise ValueError(f"`mean` and `std` must be {channels} numbers, `std` above 0")
        return self

    @classmethod
    def square(
        cls, size: int, channels: int, mean: Sequence[float], std: Sequence[float]
    ) -> "EvaluationTransform":
        """Return the transform of the models that ship: the largest central square, resized."""
        steps = (CentralSquare(size=size),)
        return cls(size=(size, size), channels=channels, steps=steps, mean=mean, std=std)

    @classmethod
    def of(cls, transform: Transform, shape: Shape) -> "EvaluationTransform":
        """Return a torchvision transform as a value.

        Supports torchvision's presets (``weights.transforms()``) and compositions, old (v1) or new
        (v2), of Resize, CenterCrop, Grayscale, ToTensor, PILToTensor, ToImage, ConvertImageDtype,
        ToDtype and Normalize. The value is checked to give the same bits on a picture.

        Args:
            transform: the network's evaluation transform.
            shape: (C, H, W) that the network reads.

        Raises:
            UnstorableTransformError: a step that a card cannot store; names the step.
            UserError: the transform raises, or yields another shape than the network reads.
        """
        apply(transform, _probe(shape[1:], shape[0]), shape)
        if isinstance(transform, cls):
            return transform
        value = _recognise(transform, shape)
        for larger in (0, 57):
            picture = _probe((shape[1] + larger, shape[2] + larger // 2), value.channels)
            try:
                expected = apply(transform, picture, shape)
            except UserError:  # a transform for pictures of one size, or for squares
                continue
            if not value(picture).equal(expected):
                raise UnstorableTransformError(
                    f"expected `transform` to apply its steps in order, but "
                    f"{type(transform).__name__} gives other numbers than its Resize, crop and "
                    f"Normalize in this order: {_ADVICE}"
                )
        return value

    def pixels(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Apply the steps: a picture of any size and mode to (H, W, C) uint8."""
        picture = _middle(picture).convert("L" if self.channels == 1 else "RGB")
        pixels = self._stepped(picture)
        if pixels.shape[:2] != self.size:
            pixels = self._stepped(central_square(picture, min(picture.size)))
        if pixels.shape[:2] != self.size:
            pixels = self._stepped(central_square(picture, max(self.size)))
        return pixels

    def visible_share(self, width: int, height: int) -> tuple[float, float]:
        """Return how much of a picture's width and height the network sees: always the middle."""
        size, share = np.array((width, height), float), np.ones(2)
        for step in self.steps:
            cut = size
            match step:
                case CentralSquare():
                    cut = np.full(2, size.min())
                case CenterCrop():
                    cut = np.minimum(size, step.size[::-1])
            share *= cut / size
            size = cut
            match step:
                case Resize(size=(side,)):
                    scale = side / size.min()
                    longest = step.max_size or math.inf
                    size = size * min(scale, longest / size.max())
                case Resize():
                    size = np.array(step.size[::-1], float)
        return float(share[0]), float(share[1])

    def pixels_in(
        self, picture: Image.Image, box: tuple[float, float, float, float]
    ) -> NDArray[np.uint8]:
        """Return a part of a picture as the network reads it: (H, W, C) uint8.

        Args:
            picture: of any size and mode.
            box: left, top, right and bottom of the part, in pixels; a square, so that nothing is
                distorted.
        """
        left, top, right, bottom = map(round, box)
        part = picture.convert("L" if self.channels == 1 else "RGB")
        part = part.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
        part = part.resize(self.size[::-1], Image.Resampling.LANCZOS)
        for step in self.steps:
            part = step.apply(part) if isinstance(step, Grayscale) else part
        return np.array(part, dtype=np.uint8).reshape(*self.size, -1)

    def _stepped(self, image: Any) -> NDArray[np.uint8]:
        for step in self.steps:
            image = step.apply(image)
        if isinstance(image, Image.Image):
            array = np.array(image, dtype=np.uint8)
            return array.reshape(*array.shape[:2], -1)
        return np.ascontiguousarray(image.permute(1, 2, 0).numpy())

    @property
    def normalisation(self) -> "Normalisation":
        """The second half, for pixels (B, C, H, W) of unsigned bytes."""
        from core.networks.normalisation import Normalisation

        return Normalisation(self.mean, self.std, self.reciprocal)

    def __call__(self, picture: Image.Image) -> "Tensor":
        """Return a picture as a network reads it: float32 (C, H, W)."""
        from core.networks.normalisation import to_device

        normalise = self.normalisation
        batch = to_device(self.pixels(picture)[None], normalise.shift.device)
        image: Tensor = normalise(batch)[0].contiguous()
        return image

    def __str__(self) -> str:
        steps = ", ".join(str(step) for step in self.steps if not isinstance(step, ToTensor))
        return steps or "as it is"


_ADVICE = (
    "use a torchvision Compose of Resize, CenterCrop, Grayscale, ToTensor and Normalize, or do the "
    "other steps before the picture comes to the model."
)


def apply(transform: Transform, picture: Image.Image, shape: Shape) -> "Tensor":
    """Apply a user's transform to a picture; return float32 (C, H, W).

    Raises:
        UserError: the transform raises, or yields another type or shape than the network reads.
    """
    import torch

    name = getattr(transform, "__name__", type(transform).__name__)
    try:
        result = transform(picture)
    except UserError:
        raise
    except Exception as error:  # the user's own code
        raise UserError(
            f"expected `transform` to take a picture (PIL, mode {picture.mode}), but {name} raised "
            f"{type(error).__name__}: {error}; mend it, or pass another one."
        ) from None
    got = (
        f"{str(result.dtype).removeprefix('torch.')} of shape {tuple(result.shape)}"
        if isinstance(result, torch.Tensor)
        else type(result).__name__
    )
    if got != f"float32 of shape {shape}":
        raise UserError(
            f"expected `transform` to yield float32 of shape {shape}, which the network reads, "
            f"but {name} yields {got}: change its size, crop or channels, or end it with ToTensor."
        )
    return result.as_subclass(torch.Tensor)


def _probe(size: tuple[int, int], channels: int) -> Image.Image:
    """Return a picture of noise, (H, W)."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def _leaves(transform: Any) -> Iterator[Any]:
    """Yield the single steps of a transform, inside compositions, too."""
    inner = getattr(transform, "transforms", None)
    if inner is None and type(transform).__name__ == "Sequential":
        inner = list(transform)
    if inner is None:
        yield transform
    else:
        for step in inner:
            yield from _leaves(step)


def _recognise(transform: Any, shape: Shape) -> EvaluationTransform:
    """Read a torchvision transform's steps by the names of their classes and their attributes."""
    steps: list[Any] = []
    channels = shape[0]
    mean, std = (0.0,) * channels, (1.0,) * channels
    output_channels = channels
    numbers = reciprocal = False
    for leaf in _leaves(transform):
        name = type(leaf).__name__
        if name == "ImageClassification":
            steps += [_resize(leaf, leaf.resize_size), CenterCrop(size=_square(leaf.crop_size))]
            mean, std, numbers = tuple(leaf.mean), tuple(leaf.std), True
        elif name == "Resize" and not numbers:
            steps.append(_resize(leaf, leaf.size))
        elif name == "CenterCrop":
            steps.append(CenterCrop(size=_square(leaf.size)))
        elif name == "Grayscale" and not numbers:
            steps.append(Grayscale(channels=leaf.num_output_channels))
            channels = 3
        elif name in ("PILToTensor", "ToImage", "MaybePILToTensor"):
            steps.append(ToTensor())
        elif name in ("ToTensor", "MaybeToTensor"):
            numbers = True
        elif name in ("ConvertImageDtype", "ToDtype") and getattr(leaf, "scale", True):
            numbers, reciprocal = True, ".v2." in type(leaf).__module__
        elif name == "Normalize":
            mean = _per_channel(leaf.mean, output_channels)
            std = _per_channel(leaf.std, output_channels)
        elif name not in ("Identity", "ToPureTensor", "RGB"):
            raise UnstorableTransformError(
                f"expected a `transform` that a card can store, but its step {_short(leaf)} "
                f"cannot be stored: {_ADVICE}"
            )
    if steps and isinstance(steps[-1], ToTensor):
        steps.pop()  # nothing is resized after it
    try:
        return EvaluationTransform(
            size=shape[1:],
            channels=channels,
            steps=tuple(steps),
            mean=mean,
            std=std,
            reciprocal=reciprocal,
        )
    except ValidationError as error:
        raise UnstorableTransformError(
            f"expected a `transform` that a card can store, but {error.errors()[0]['msg']}: "
            f"{_ADVICE}"
        ) from None


def _resize(leaf: Any, size: int | Sequence[int]) -> Resize:
    from torchvision import transforms

    mode = leaf.interpolation
    if isinstance(mode, int):  # Pillow's numbers, which v1 understands
        mode = transforms.Resize(1, mode).interpolation
    return Resize(
        size=(size,) if isinstance(size, int) else tuple(size),
        interpolation=transforms.InterpolationMode(mode).value,
        max_size=getattr(leaf, "max_size", None),
        antialias=leaf.antialias,
    )


def _square(size: int | Sequence[int]) -> tuple[int, int]:
    sides = (size,) if isinstance(size, int) else tuple(size)
    return sides[0], sides[-1]


def _per_channel(values: Any, channels: int) -> tuple[float, ...]:
    each = tuple(map(float, np.ravel(values)))
    return each * channels if len(each) == 1 else each


def _short(leaf: Any) -> str:
    text = " ".join(repr(leaf).split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def _sides(size: Sequence[int]) -> str:
    return " × ".join(map(str, size))
