"""What charts draw, where numbers are turned into something else on the way."""

import math

import pytest

from app.charts import Spot, every_method
from core.tuning.sizes import PlainNetwork, accuracy_by_size

SIZES = [Spot("small", 10_000_000, 0.86), Spot("large", 160_000_000, 0.94)]


@pytest.mark.parametrize(
    ("accuracies", "fits"),
    [
        ([0.665, 0.9422], ["70%", "80%", "90%", "92%", "94%"]),
        ([0.33, 0.48], ["35%", "40%", "45%"]),
        ([0.457, 0.4999], ["46%", "47%", "48%", "49%"]),
        ([0.9318, 0.9342], ["93.2%", "93.25%", "93.3%", "93.35%", "93.4%"]),
        ([0.971, 1.0], ["99%", "99.9%", "99.99%"]),
    ],
)
def test_the_axis_of_errors_reads_as_accuracy(accuracies: list[float], fits: list[str]) -> None:
    figure = every_method([("one", [1e6, 2e6], accuracies)], [], [])
    assert sorted(figure.layout.yaxis.ticktext) == sorted(fits)
    for error, text in zip(figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext, strict=True):
        assert 1 - error == pytest.approx(float(text.rstrip("%")) / 100)
    assert all(math.isfinite(math.log(error)) for error in figure.data[0].y)
    assert list(figure.data[0].customdata) == accuracies  # what is read when pointed at


def test_being_small_is_drawn_as_it_is_counted() -> None:
    figure = every_method([], SIZES, SIZES)
    line = next(trace for trace in figure.data if trace.name == "being small instead")
    curve = [PlainNetwork(spot.name, int(spot.cost), spot.accuracy) for spot in SIZES]
    for macs, error in zip(line.x, line.y, strict=True):
        assert 1 - error == pytest.approx(accuracy_by_size(curve, macs), abs=1e-9)


def test_no_name_of_a_plain_network_leaves_the_chart() -> None:
    figure = every_method([("one", [9e6, 1e8], [0.8, 0.9])], SIZES, SIZES)
    stars = next(trace for trace in figure.data if trace.name == "plain networks")
    assert stars.textposition == ("bottom right", "top left")
