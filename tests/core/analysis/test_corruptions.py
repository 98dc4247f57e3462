import numpy as np
import pytest

from core.analysis.corruptions import CORRUPTIONS, corrupt
from core.foundation.errors import UserError

RANDOM = np.random.default_rng(1)
COLOUR = RANDOM.integers(0, 256, (32, 32, 3), np.uint8)
GREY = RANDOM.integers(0, 256, (28, 28, 1), np.uint8)
UNEVEN = RANDOM.integers(0, 256, (20, 33, 3), np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("pixels", [COLOUR, GREY, UNEVEN], ids=["colour", "grey", "uneven"])
def test_a_corruption_keeps_the_shape_and_the_original(name: str, pixels: np.ndarray) -> None:
    before = pixels.copy()
    for severity in (0.01, 0.5, 1.0):
        corrupted = corrupt(pixels, name, severity)
        assert corrupted.shape == pixels.shape
        assert corrupted.dtype == np.uint8
        np.testing.assert_array_equal(corrupted, corrupt(pixels, name, severity))
    assert (corrupt(pixels, name, 1.0) != pixels).mean() > 0.3
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(corrupt(pixels, name, 0), pixels)


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "rotation"])
def test_more_severe_is_further_away(name: str) -> None:
    smooth = np.linspace(0, 255, 32).astype(np.uint8)[None, :, None].repeat(32, 0).repeat(3, 2)
    far = [
        np.abs(corrupt(smooth, name, severity).astype(float) - smooth).mean()
        for severity in (0.0, 0.3, 0.6, 1.0)
    ]
    assert far == sorted(far)
    assert far[-1] > 0


def test_the_worst_of_some() -> None:
    assert (corrupt(COLOUR, "occlusion", 1.0) == 128).all()
    assert len(np.unique(corrupt(GREY, "contrast", 1.0))) == 1
    assert len(np.unique(corrupt(GREY, "resolution", 1.0))) <= 4
    np.testing.assert_array_equal(corrupt(COLOUR, "rotation", 1.0), COLOUR[::-1, ::-1])


@pytest.mark.parametrize("severity", [-0.1, 1.1, float("nan")])
def test_a_severity_out_of_range(severity: float) -> None:
    with pytest.raises(UserError, match="severity"):
        corrupt(COLOUR, "noise", severity)


def test_an_unknown_corruption() -> None:
    with pytest.raises(UserError, match="Did you mean 'noise'"):
        corrupt(COLOUR, "nois", 0.5)
