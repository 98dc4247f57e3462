"""Figures of a training run, epoch by epoch, with room for the epochs that are still to come."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from app.charts.plotly import LEGEND, SERIES, colours, hatched, line, styled

if TYPE_CHECKING:
    from core.training.progress import EpochReport

_HEIGHT = 250
_SHAPES = ("", "/", ".", "x", "-")


def epoch_figures(
    reports: Sequence["EpochReport"], exits: Sequence[str], epochs: int, supervised: int
) -> dict[str, go.Figure]:
    """Draw a training run: figures by what they show.

    Args:
        reports: the epochs so far.
        exits: names of the E exits.
        epochs: how many there are going to be.
        supervised: how many of deep supervision come before the chosen loss.
    """
    done = [report.epoch for report in reports]
    accuracy, shares, cost, loss = (go.Figure() for _ in range(4))
    for index, name in enumerate(exits):
        values = [report.accuracy[index] for report in reports]
        _line(accuracy, index, name, done, values, "%{y:.1%}")
        shares.add_bar(
            x=done,
            y=[report.exit_share[index] for report in reports],
            name=name,
            marker=hatched(SERIES[index % len(SERIES)][0], _SHAPES[index % len(_SHAPES)]),
            hovertemplate=f"{name}: %{{y:.1%}}<br>epoch %{{x}}<extra></extra>",
        )
    spent = [report.relative_cost for report in reports]
    right = [report.policy_accuracy for report in reports]
    _line(cost, 0, "relative cost", done, spent, "%{y:.1%}")
    _line(cost, 1, "right", done, right, "%{y:.1%}")
    _line(loss, 0, "loss", done, [report.loss for report in reports], "%{y:.3f}")
    drawn = {
        "Accuracy of each exit if every image stopped there": (accuracy, _share(1.03)),
        "Where images leave, at thresholds of 0.5": (shares, _share(1)),
        "Cost of that, and how many are right": (cost, _share(1.1)),
        "Loss on the training images": (loss, {"rangemode": "tozero"}),
    }
    return {title: _by_epoch(figure, y, epochs, supervised) for title, (figure, y) in drawn.items()}


def _share(top: float) -> dict[str, Any]:
    return {"range": [0, top], "tickformat": ".0%"}


def _line(
    figure: go.Figure, index: int, name: str, x: list[int], y: list[float], shown: str
) -> None:
    line(figure, index, name, x, y, f"{name}: {shown}<br>epoch %{{x}}", marker={"size": 8})


def _by_epoch(figure: go.Figure, y: dict[str, Any], epochs: int, supervised: int) -> go.Figure:
    if supervised:
        dotted = {"color": colours().quiet, "width": 2, "dash": "dot"}
        figure.add_vline(x=supervised + 0.5, line=dotted)
    x = {"range": [0.4, epochs + 0.6], "title": "epoch", "dtick": 1 if epochs < 11 else None}
    legend = {**LEGEND, "traceorder": "normal"}
    return styled(
        figure,
        _HEIGHT,
        x,
        y,
        showlegend=True,
        uirevision="training",
        legend=legend,
        barmode="stack",
        bargap=0.12,
    )
