import numpy as np
import pytest

from core.deploy.benchmark import FEWEST_IMAGES, race
from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.hub.model import load


def test_a_race_times_each_configuration_on_the_same_images() -> None:
    exits, plain = load("eenet8-mnist"), load("resnet8-mnist")
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    found = race([(exits, Policy("margin", [0, 0])), (plain, Policy("margin", []))], images, 64, 1)
    assert found.batch_size == 64
    assert found.images == FEWEST_IMAGES
    assert len(found.seconds) == 2
    assert all(one > 0 for one in found.seconds)
    assert found.ratio == found.seconds[1] / found.seconds[0]


def test_a_policy_for_another_network_cannot_race() -> None:
    images = np.zeros((3, 28, 28, 1), np.uint8)
    with pytest.raises(UserError, match="thresholds"):
        race([(load("eenet8-mnist"), Policy("margin", [0.5]))], images, 64, 1)
