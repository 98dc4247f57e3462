"""A warning for pictures that look unlike the images a network was trained on."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_MARGIN = 0.25  # allowed distance from the examples' range, in units of that range
_WORDS = {
    "brightness": ("darker", "brighter"),
    "contrast": ("flatter", "harsher"),
    "half-tones": ("more black and white", "fuller of greys"),
    "colour": ("paler", "more colourful"),
}


def hint(pixels: Pixels, examples: Pixels) -> str | None:
    """Return a sentence on how a picture differs from all examples, or None.

    Compares brightness, contrast, half-tones and colour only: this detects a photo that is given
    to a network for digits, not a digit in unusual handwriting.

    Args:
        pixels: (H, W, C) uint8.
        examples: (N, H, W, C) uint8, images like those that the network was trained on.
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
    values = images.astype(np.float64) / 255  # (N, H, W, C)
    grey = values.mean(axis=3)
    return {
        "brightness": grey.mean(axis=(1, 2)),
        "contrast": grey.std(axis=(1, 2)),
        "half-tones": ((grey > 0.2) & (grey < 0.8)).mean(axis=(1, 2)),
        "colour": (values.max(axis=3) - values.min(axis=3)).mean(axis=(1, 2)),
    }
