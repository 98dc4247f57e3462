from types import SimpleNamespace

import pytest

from core.hub.sizes import PlainNetwork, accuracy_by_size, size_curve


def card(name: str, macs: int, accuracy: float, exits: int = 1, dataset: str = "birds") -> object:
    return SimpleNamespace(
        name=name,
        dataset=dataset,
        num_exits=exits,
        plain_macs=macs,
        per_exit_accuracy={"test": (accuracy,) * exits},
    )


CARDS = [
    card("large", 400, 0.9),
    card("wasteful", 300, 0.6),
    card("small", 100, 0.7),
    card("clumsy", 100, 0.5),
    card("early", 10, 0.95, exits=3),
    card("elsewhere", 50, 0.99, dataset="fish"),
]


def test_the_curve_holds_the_plain_networks_that_no_smaller_one_beats() -> None:
    curve = size_curve(CARDS, "birds")  # type: ignore[arg-type]
    assert curve == [PlainNetwork("small", 100, 0.7), PlainNetwork("large", 400, 0.9)]
    assert size_curve(CARDS, "cats") == []  # type: ignore[arg-type]


def test_a_network_below_the_line_between_two_others_is_no_rival() -> None:
    above = [*CARDS, card("medium", 200, 0.81), card("tiny", 50, 0.5)]
    names = [one.name for one in size_curve(above, "birds")]  # type: ignore[arg-type]
    assert names == ["tiny", "small", "medium", "large"]
    below = [*CARDS, card("medium", 200, 0.79), card("dull", 150, 0.71), card("tiny", 25, 0.69)]
    names = [one.name for one in size_curve(below, "birds")]  # type: ignore[arg-type]
    assert names == ["tiny", "large"]


@pytest.mark.parametrize(
    ("macs", "accuracy"), [(99, None), (100, 0.7), (200, 0.8), (400, 0.9), (4000, 0.9)]
)
def test_between_two_sizes_accuracy_is_linear_in_log_macs(
    macs: float, accuracy: float | None
) -> None:
    found = accuracy_by_size(size_curve(CARDS, "birds"), macs)  # type: ignore[arg-type]
    assert found == (None if accuracy is None else pytest.approx(accuracy))


def test_without_plain_networks_there_is_nothing_to_compare_with() -> None:
    assert accuracy_by_size([], 100) is None
