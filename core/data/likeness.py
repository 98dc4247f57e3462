"""Whether a picture looks like those that a network has learned from."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_ROOM = 0.25  # how far outside of what the examples show, in parts of their range
_SAYS = {
    "brightness": ("darker", "brighter"),
    "contrast": ("flatter", "harsher"),
    "half-tones": ("more black and white", "fuller of greys"),
    "colour": ("paler", "more colourful"),
}


def hint(pixels: Pixels, examples: Pixels) -> str | None:
    """Say in what way a picture is unlike all examples, or return None.

    A coarse look at brightness, contrast, half-tones and colour. It catches a photo that is given
    to a network for digits, not a digit of an unusual hand.

    Args:
        pixels: (H, W, C) uint8.
        examples: (N, H, W, C), some of what the network reads.
    """
    one = _traits(pixels[None])
    all_ = _traits(examples)
    found = []
    for name, (low_word, high_word) in _SAYS.items():
        low, high = np.quantile(all_[name], (0.001, 0.999))
        room = _ROOM * max(high - low, 0.02)
        value = float(one[name][0])
        if value < low - room:
            found.append(low_word)
        elif value > high + room:
            found.append(high_word)
    if not found:
        return None
    return (
        f"This picture is {' and '.join(found)} than any that this network has learned from; "
        "its answer may mean nothing."
    )


def _traits(images: Pixels) -> dict[str, NDArray[np.float64]]:
    levels = images.astype(np.float64) / 255  # (N, H, W, C)
    grey = levels.mean(axis=3)
    return {
        "brightness": grey.mean(axis=(1, 2)),
        "contrast": grey.std(axis=(1, 2)),
        "half-tones": ((grey > 0.2) & (grey < 0.8)).mean(axis=(1, 2)),
        "colour": (levels.max(axis=3) - levels.min(axis=3)).mean(axis=(1, 2)),
    }
