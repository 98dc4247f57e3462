import numpy as np
import pytest
import torch

from core.analysis.neighbours import exit_features, nearest
from core.hub.model import load


@pytest.mark.parametrize("name", ["eenet8-mnist", "ptee-vgg11half-cifar10", "resnet8-mnist"])
def test_every_exit_reads_one_vector_of_length_1_of_each_image(name: str) -> None:
    model = load(name)
    spec = model.card.spec
    size = spec.image_size
    pixels = np.random.default_rng(0).integers(
        0, 256, (3, size, size, spec.in_channels), dtype=np.uint8
    )
    found = exit_features(model.network, model.normalised(pixels))
    assert len(found) == model.card.num_exits
    for features in found:
        assert len(features) == 3
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    last = model.features(pixels)
    np.testing.assert_allclose(
        found[-1], last / np.linalg.norm(last, axis=1, keepdims=True), atol=1e-5
    )


def test_the_nearest_come_first_without_those_left_out() -> None:
    turns = torch.tensor([0.0, 0.1, 3.0, 0.5, 0.2])
    known = torch.stack([turns.cos(), turns.sin()], dim=1).numpy()
    found, alike = nearest(known, known[0], 3, np.array([True, False, False, False, False]))
    assert found.tolist() == [1, 4, 3]
    np.testing.assert_allclose(alike, np.cos([0.1, 0.2, 0.5]), rtol=1e-6)
    found, _ = nearest(known, known[0], 9, np.ones(5, bool))
    assert not len(found)
