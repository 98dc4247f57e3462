import pytest

from core.tuning.together import confidence_of_all


def test_doubts_add_up() -> None:
    assert confidence_of_all([0.9]) == pytest.approx(0.9)
    assert confidence_of_all([0.9, 0.95]) == pytest.approx(0.85)
    assert confidence_of_all([0.5, 0.5, 0.5]) == 0
    assert confidence_of_all([]) == 1
