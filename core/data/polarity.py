"""Polarity of data sets: which of them show light ink on a dark background."""

import numpy as np
from numpy.typing import NDArray

from core.data.splits import SAMPLES_ONLY

LIGHT_ON_DARK = ("mnist", SAMPLES_ONLY)
"""Names of the data sets whose images are light on dark."""


def light_on_dark(dataset: str) -> bool:
    """Return whether a network for this data set reads light ink on a dark background."""
    return dataset in LIGHT_ON_DARK


def has_light_edge(pixels: NDArray[np.uint8]) -> bool:
    """Return whether most of a picture's edge is lighter than middle grey, as on white paper.

    Args:
        pixels: (H, W, C).
    """
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return bool(np.median(edge) > 127)
