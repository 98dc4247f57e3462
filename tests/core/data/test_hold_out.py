"""Calibration images are held out from training images."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from core.data.hold_out import by_class, hold_out
from core.foundation.errors import UserError
from tests.core.training.tiny import bars


@pytest.mark.parametrize(
    ("count", "held_out"), [(2, 1), (9, 1), (25, 2), (1000, 100), (60_000, 5000)]
)
def test_a_tenth_is_held_out_and_the_rest_learns(count: int, held_out: int) -> None:
    numbers = TensorDataset(torch.arange(count))
    training, calibration = hold_out(numbers)
    assert (len(training), len(calibration)) == (count - held_out, held_out)
    assert sorted([*training.indices, *calibration.indices]) == list(range(count))
    assert hold_out(numbers)[1].indices == calibration.indices
    if count > 9:
        assert hold_out(numbers, seed=1)[1].indices != calibration.indices


def test_the_parts_of_an_image_set_are_named() -> None:
    training, calibration = hold_out(bars(50, 0))
    assert (training.split, calibration.split) == ("train", "calibration")
    assert sorted([*training.ids, *calibration.ids]) == list(range(50))
    np.testing.assert_array_equal(calibration.images, bars(50, 0).images[calibration.ids])


def test_what_cannot_be_divided_is_a_sentence() -> None:
    images = TensorDataset(torch.arange(1))
    with pytest.raises(UserError, match="got DataLoader: divide it yourself"):
        hold_out(DataLoader(images))
    with pytest.raises(UserError, match="at least 2 training images"):
        hold_out(images)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
def test_every_class_is_divided_in_the_same_proportion(share: float) -> None:
    labels = np.repeat([0, 1, 2, -1], [40, 7, 1, 12])
    first, second = by_class(labels, share, seed=1)
    assert sorted([*first, *second]) == list(range(48))  # none without a label
    assert abs(len(first) - 48 * share) < 1
    for label, count in enumerate((40, 7, 1)):
        assert abs(np.count_nonzero(labels[first] == label) - count * share) < 1
    np.testing.assert_array_equal(by_class(labels, share, seed=1)[0], first)
    assert by_class(labels, share, seed=2)[0].tolist() != first.tolist()
    assert all(np.all(np.diff(part) > 0) for part in (first, second))
