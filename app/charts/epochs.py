"""Figures of a training run, epoch by epoch, with room for the epochs that are still to come."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from app.charts.plotly import SERIES, colours, styled

if TYPE_CHECKING:
    from core.training.progress import EpochReport

_HEIGHT = 250
_PATTERNS = ("", "/", ".", "x", "-")


def loss(reports: Sequence["EpochReport"], epochs: int, supervised: int) -> go.Figure:
    """Draw the training loss; ``supervised`` epochs come before the chosen loss."""
    figure = go.Figure()
    _line(figure, 0, "loss", reports, [report.loss for report in reports], "%{y:.3f}")
    figure.update_yaxes(rangemode="tozero")
    return _by_epoch(figure, epochs, supervised)


def accuracy(
    reports: Sequence["EpochReport"], names: Sequence[str], epochs: int, supervised: int
) -> go.Figure:
    """Draw the accuracy of each exit, had all images left there."""
    figure = go.Figure()
    for index, name in enumerate(names):
        values = [report.accuracy[index] for report in reports]
        _line(figure, index, name, reports, values, "%{y:.1%}")
    figure.update_yaxes(range=[0, 1.03], tickformat=".0%")
    return _by_epoch(figure, epochs, supervised)


def shares(
    reports: Sequence["EpochReport"], names: Sequence[str], epochs: int, supervised: int
) -> go.Figure:
    """Draw who leaves where, as bars that make up the whole."""
    figure = go.Figure()
    for index, name in enumerate(names):
        figure.add_bar(
            x=[report.epoch for report in reports],
            y=[report.exit_share[index] for report in reports],
            name=name,
            marker={
                "color": SERIES[index % len(SERIES)][0],
                "pattern": {
                    "shape": _PATTERNS[index % len(_PATTERNS)],
                    "size": 7,
                    "solidity": 0.25,
                    "fillmode": "overlay",
                },
            },
            hovertemplate=f"{name}: %{{y:.1%}}<br>epoch %{{x}}<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.12)
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return _by_epoch(figure, epochs, supervised)


def cost(reports: Sequence["EpochReport"], epochs: int, supervised: int) -> go.Figure:
    """Draw the mean relative cost of leaving early, and how often the answers are right."""
    figure = go.Figure()
    spent = [report.relative_cost for report in reports]
    _line(figure, 0, "relative cost", reports, spent, "%{y:.1%}")
    right = [report.policy_accuracy for report in reports]
    _line(figure, 1, "right", reports, right, "%{y:.1%}")
    figure.update_yaxes(range=[0, 1.1], tickformat=".0%")
    return _by_epoch(figure, epochs, supervised)


def _line(
    figure: go.Figure,
    index: int,
    name: str,
    reports: Sequence["EpochReport"],
    values: Sequence[float],
    shown: str,
) -> None:
    colour, dash, symbol = SERIES[index % len(SERIES)]
    figure.add_scatter(
        x=[report.epoch for report in reports],
        y=list(values),
        name=name,
        mode="lines+markers",
        line={"color": colour, "width": 3, "dash": dash},
        marker={"symbol": symbol, "size": 8},
        hovertemplate=f"{name}: {shown}<br>epoch %{{x}}<extra></extra>",
    )


def _by_epoch(figure: go.Figure, epochs: int, supervised: int) -> go.Figure:
    figure.update_xaxes(range=[0.4, epochs + 0.6], title="epoch", dtick=1 if epochs < 11 else None)
    if supervised:
        line = {"color": colours().quiet, "width": 2, "dash": "dot"}
        figure.add_vline(x=supervised + 0.5, line=line)
    figure.update_layout(showlegend=True, uirevision="training")
    styled(figure, _HEIGHT)
    return figure.update_layout(legend_traceorder="normal")
