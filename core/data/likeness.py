"""Whether a picture looks like those that a network has learned from."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_MARGIN = 0.25  # how far outside of what the examples show, in parts of their range
_WORDS = {
    "brightness": ("darker", "brighter"),
    "contrast": ("flatter", "harsher"),
    "half-tones": ("more black and white", "fuller of greys"),
    "colour": ("paler", "more colourful"),
}


def hint(pixels: Pixels, examples: Pixels) -> str | None:
    """Return a sentence on how a picture is unlike all examples, or None.

    A coarse look at brightness, contrast, half-tones and colour. It catches a photo that is given
    to a network for digits, not a digit of an unusual hand.

    Args:
        pixels: (H, W, C) uint8.
        examples: (N, H, W, C), some of what the network reads.
    """
    own = _traits(pixels[None])
    known = _traits(examples)
    differences = []
    for name, (low_word, high_word) in _WORDS.items():
        low, high = np.quantile(known[name], (0.001, 0.999))
        margin = _MARGIN * max(high - low, 0.02)
        value = float(own[name][0])
        if value < low - margin:
            differences.append(low_word)
        elif value > high + margin:
            differences.append(high_word)
    if not differences:
        return None
    return (
        f"This picture is {' and '.join(differences)} than any that this network has learned from; "
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
