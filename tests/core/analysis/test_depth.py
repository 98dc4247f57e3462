import numpy as np
import pytest
from scipy.stats import somersd

from core.analysis.depth import effects
from core.analysis.properties import PROPERTIES, measured


def test_the_effect_is_somers_d() -> None:
    random = np.random.default_rng(0)
    exits = random.integers(0, 4, 300)
    values = {
        "related": exits + random.normal(0, 2, 300),
        "tied": random.integers(0, 3, 300) - (exits == 3),
        "class": (random.random(300) < 0.1 + 0.2 * (exits == 0)),
    }
    for effect in effects(exits, values):
        given = np.asarray(values[effect.name], float)
        assert effect.value == pytest.approx(somersd(exits, given).statistic)
        assert effect.low < effect.value < effect.high


def test_the_strongest_comes_first_and_the_sign_tells_the_direction() -> None:
    exits = np.repeat([0, 1, 2], 50)
    values = {"none": np.tile([0.0, 1.0], 75), "late": exits, "early": -(exits > 0).astype(float)}
    late, early, none = effects(exits, values)
    assert (late.name, late.value, late.certain) == ("late", 1.0, True)
    assert (early.name, early.certain) == ("early", True)
    assert early.value < 0
    assert not none.certain


def test_all_intervals_hold_together_as_often_as_promised() -> None:
    random = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        exits = random.integers(0, 3, 150)
        values = {str(number): random.normal(size=150) for number in range(5)}
        wrong += any(effect.certain for effect in effects(exits, values))
    assert 3 <= wrong <= 27  # of 300, 15 are expected


def test_where_all_leave_together_nothing_goes_along() -> None:
    assert effects(np.ones(20, np.int64), {"it": np.arange(20.0)}) == []


def pictures(*grey: object) -> np.ndarray:
    stacked = np.stack([np.broadcast_to(np.asarray(one), (16, 16)) for one in grey])
    return stacked.astype(np.uint8)[..., None]


def test_properties_say_what_they_are_called() -> None:
    stripes = 255 * (np.arange(16) % 2)
    slope = np.arange(16) * 17
    found = measured(pictures(20, 235, stripes, slope))
    assert set(found) == {"brightness", "contrast", "edges", "detail"}
    assert found["brightness"] == pytest.approx([20 / 255, 235 / 255, 0.5, 0.5])
    assert found["contrast"][:2] == pytest.approx([0, 0], abs=1e-6)
    assert found["contrast"][2] > found["contrast"][3] > 0.2
    assert found["edges"] == pytest.approx([0, 0, 1, 17 / 255])
    assert found["detail"][2] > 0.99
    assert found["detail"][3] < 0.2


def test_colour_is_the_distance_from_grey() -> None:
    red = np.zeros((1, 8, 8, 3), np.uint8)
    red[..., 0] = 255
    found = measured(np.concatenate([red, np.full_like(red, 90)]))
    assert found["colour"] == pytest.approx([1, 0])
    assert set(found) == set(PROPERTIES)


def test_many_pictures_are_measured_as_a_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    many = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)
    whole = measured(many)
    monkeypatch.setattr("core.analysis.properties._BATCH", 2 * 8 * 8 * 3)
    for name, values in measured(many).items():
        assert values == pytest.approx(whole[name])
    assert measured(many[:0]) == {}
