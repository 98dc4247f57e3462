import numpy as np

from core.data.likeness import hint
from core.data.samples import load_samples

DIGITS = load_samples("mnist").images
PHOTOS = load_samples("cifar10").images


def test_the_examples_are_like_themselves() -> None:
    assert sum(hint(digit, DIGITS) is not None for digit in DIGITS[::50]) == 0
    assert [hint(photo, PHOTOS) for photo in PHOTOS] == [None] * len(PHOTOS)


def test_photos_are_not_like_digits_nor_digits_like_photos() -> None:
    grey = PHOTOS.mean(axis=3, keepdims=True).astype(np.uint8)
    told = [hint(photo[2:30, 2:30], DIGITS) for photo in grey]
    assert all(told)
    assert "fuller of greys" in str(told[0])
    digits = np.pad(DIGITS[::500].repeat(3, 3), ((0, 0), (2, 2), (2, 2), (0, 0)))
    assert all(hint(digit, PHOTOS) for digit in digits)


def test_an_inverted_digit_is_told() -> None:
    assert "brighter" in str(hint(255 - DIGITS[0], DIGITS))
