from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.data.prepared import ImageSet
from core.exits.table import FloatArray
from core.foundation.errors import UserError
from core.hub.likeness import (
    LIKE,
    Likeness,
    hints,
    load_likeness,
    make_likeness,
    save_likeness,
)
from core.hub.model import Model
from core.hub.registry import LIKENESS
from core.hub.verify import faults
from core.networks.build import build
from tests.core.training.tiny import bars, tiny_recipe


def pixels(model: object, images: ImageSet | NDArray[np.uint8]) -> FloatArray:
    """Stands in for what a network sees: the picture itself."""
    values = images.images if isinstance(images, ImageSet) else images
    return values.reshape(len(values), -1).astype(np.float32)


@pytest.fixture(autouse=True)
def sees_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "features", pixels)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    network = build(tiny_recipe().network)
    return Model.of(network, ("horizontal", "vertical"), dataset="bars").save(tmp_path / "model")


@pytest.fixture
def likeness(model: Model) -> Likeness:
    return make_likeness(model, bars(400, 2), bars(200, 3))


def others(count: int) -> ImageSet:
    """Chequered images, which are no bars."""
    images = bars(count, 5)
    images.images[:] = 200 * (np.indices((8, 8)).sum(axis=0) % 2)[None, :, :, None]
    return images


def test_as_many_calibration_images_are_near_as_are_to_be(model: Model, likeness: Likeness) -> None:
    near = likeness.distances(model.features(bars(200, 3))) <= likeness.threshold
    assert near.mean() == pytest.approx(LIKE, abs=0.006)


def test_what_is_seen_is_the_mean_of_the_last_maps(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    images = bars(5, 0)
    maps = model.network.start(model.normalised(images.images), len(model.network.trunk.names))[-1]
    assert np.allclose(model.features(images), maps.mean(dim=(2, 3)).detach().numpy(), atol=1e-6)


def test_a_training_image_is_next_to_itself(model: Model, likeness: Likeness) -> None:
    assert likeness.distances(model.features(bars(400, 2))).max() < 1e-3


def test_other_pictures_are_called_unlike_and_new_ones_of_the_kind_are_not(
    model: Model, likeness: Likeness
) -> None:
    assert model.folder is not None
    save_likeness(model.folder, model.card, likeness)
    told = hints(model, others(3).images)
    assert all(sentence and "99%" in sentence for sentence in told)
    new = hints(model, bars(100, 7).images)
    assert sum(sentence is not None for sentence in new) <= 5


def test_a_file_is_read_as_it_was_written_and_not_of_other_weights(
    model: Model, likeness: Likeness, tmp_path: Path
) -> None:
    save_likeness(tmp_path, model.card, likeness)
    found = load_likeness(tmp_path, model.card)
    assert found is not None
    features = model.features(others(2))
    assert np.array_equal(found.distances(features), likeness.distances(features))
    assert found.threshold == likeness.threshold
    assert load_likeness(tmp_path, model.card.model_copy(update={"sha256": "0" * 64})) is None
    assert load_likeness(tmp_path / "none", model.card) is None


def test_a_damaged_file_is_a_sentence_and_a_fault(model: Model, likeness: Likeness) -> None:
    assert model.folder is not None
    save_likeness(model.folder, model.card, likeness)
    path = model.folder / LIKENESS
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"features of training images in .* damaged"):
        load_likeness(model.folder, model.card)
    assert any("features of training images" in fault for fault in faults(model.folder))
    with pytest.warns(UserWarning, match="damaged"):
        assert hints(model, others(1).images) == [None]
    path.write_bytes(whole)
    assert not any("features of training images" in fault for fault in faults(model.folder))
