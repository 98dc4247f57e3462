"""The part of a picture that the network sees: a frame on the whole picture, to be moved."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

from app.components.mount import component
from core.data.transform import EvaluationTransform

SMALLEST = 0.1  # of the shorter side
WORDS = {
    "label": "The whole picture. The network sees what is inside the frame: drag it, or use the "
    "arrow keys; plus and minus change its size.",
    "size": "Size of the frame",
    "reset": "Back to the middle",
}
_show = component("crop")


@dataclass(frozen=True)
class Crop:
    """A square part of a picture.

    Attributes:
        x: of its centre, in units of the picture's width.
        y: of its centre, in units of the picture's height.
        side: in units of the picture's shorter side.
    """

    x: float
    y: float
    side: float

    @classmethod
    def usual(cls, transform: EvaluationTransform, width: int, height: int) -> Self | None:
        """Return the part that a network sees by itself; None where it distorts the picture."""
        across, down = transform.visible_share(width, height)
        shorter = min(width, height)
        if not math.isclose(across * width, down * height, abs_tol=0.01 * shorter):
            return None
        return cls(0.5, 0.5, across * width / shorter)

    @classmethod
    def sent(cls, value: Any) -> Self | None:
        """Return what a browser sent, brought into range; None for anything else."""
        try:
            x, y, side = (float(value[name]) for name in ("x", "y", "side"))
        except (KeyError, TypeError, ValueError):
            return None
        if not all(map(math.isfinite, (x, y, side))):
            return None
        x, y = (min(max(place, 0.0), 1.0) for place in (x, y))
        return cls(x, y, min(max(side, SMALLEST), 1.0))

    def covers(self, width: int, height: int) -> bool:
        """Return whether it is the whole of a picture."""
        return width == height and self.side == 1

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom in pixels, inside the picture."""
        side = self.side * min(width, height)
        left = min(max(self.x * width - side / 2, 0), width - side)
        top = min(max(self.y * height - side / 2, 0), height - side)
        return left, top, left + side, top + side


@dataclass(frozen=True)
class Whole:
    """A picture before it was cropped.

    Attributes:
        image: its URI, small.
        size: width and height, in pixels.
        crop: what the network sees of it.
        usual: what it sees by itself.
    """

    image: str
    size: tuple[int, int]
    crop: Crop
    usual: Crop


def framed(whole: Whole) -> str:
    """Return a whole picture with the frame, to look at."""
    width, height = whole.size
    left, top, right, bottom = whole.crop.box(width, height)
    place = (
        f"left:{left / width:.2%};top:{top / height:.2%};"
        f"width:{(right - left) / width:.2%};height:{(bottom - top) / height:.2%}"
    )
    return (
        f'<div class="ee-whole"><img src="{whole.image}" alt="The whole picture">'
        f'<i style="{place}"></i></div><p>The network sees what is inside the frame.</p>'
    )


def frame(whole: Whole, on_crop: Callable[[Crop], None]) -> None:
    """Show a whole picture with the frame; ``on_crop`` is told where it is moved to."""

    def moved(value: Any) -> None:
        to = Crop.sent(value)
        if to is not None:
            on_crop(to)

    data = asdict(whole) | {"smallest": SMALLEST, "words": WORDS}
    _show("crop", data, moved=moved)
