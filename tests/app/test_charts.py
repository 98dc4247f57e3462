"""What charts draw, where numbers are turned into something else on the way."""

import math

import pytest

from app.charts.accuracy_cost import Spot, every_method
from core.hub.sizes import PlainNetwork

SIZES = [PlainNetwork("small", 10_000_000, 0.86), PlainNetwork("large", 160_000_000, 0.94)]
SPOTS = [Spot(one.name, one.macs, one.accuracy) for one in SIZES]


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


def test_being_small_is_a_line_over_logarithmic_macs() -> None:
    figure = every_method([], SPOTS, SIZES)
    line = next(trace for trace in figure.data if trace.name == "smaller plain networks")
    assert (line.x[0], line.x[-1]) == (SIZES[0].macs, SIZES[1].macs)
    for macs, error in zip(line.x, line.y, strict=True):
        share = math.log(macs / 10e6) / math.log(16)
        assert 1 - error == pytest.approx(0.86 + share * 0.08, abs=1e-9)


def test_no_name_of_a_plain_network_leaves_the_chart() -> None:
    figure = every_method([("one", [9e6, 1e8], [0.8, 0.9])], SPOTS, SIZES)
    stars = next(trace for trace in figure.data if trace.name == "plain networks")
    assert stars.textposition == ("bottom right", "top left")


@pytest.mark.parametrize(("least", "ticks"), [(1e6, "D2"), (1e5, 1)])
def test_ticks_between_decades_only_where_there_is_room(least: float, ticks: str | int) -> None:
    assert every_method([("one", [least, 1e8], [0.8, 0.9])], [], []).layout.xaxis.dtick == ticks
