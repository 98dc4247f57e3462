"""Figures of drift: accuracy and cost over severity, and the cost along a stream."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from app.charts.plotly import colours, here, line, styled
from core.exits.table import CostArray

_MOST_POINTS = 400
_HEIGHT = 300


def over_severity(
    severities: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    title: str,
    chosen: float,
    wanted: float | None = None,
) -> go.Figure:
    """Draw figures in [0, 1] over the severity of a corruption.

    Args:
        severities: (S,) in [0, 1].
        lines: for each name a figure per severity.
        title: of the figure.
        chosen: the severity that is looked at.
        wanted: a figure to compare with, the same at each severity.
    """
    figure = go.Figure()
    for index, (name, values) in enumerate(lines.items()):
        hover = f"{name}<br>severity %{{x:.0%}}<br>{title} %{{y:.1%}}"
        line(figure, index, name, severities, values, hover, marker={"size": 9})
    _wanted(figure, wanted)
    here(figure, chosen)
    x = {"title": "severity", "tickformat": ".0%"}
    return styled(figure, _HEIGHT, x, {"title": title, "tickformat": ".0%"})


def along_the_stream(lines: Mapping[str, CostArray], changes_at: int, wanted: float) -> go.Figure:
    """Draw the running cost along a stream of images that changes.

    Args:
        lines: for each name the cost (N,) at each image.
        changes_at: number of the first image of another kind.
        wanted: the cost that is to be held.
    """
    figure = go.Figure()
    for index, (name, costs) in enumerate(lines.items()):
        step = -(-len(costs) // _MOST_POINTS)
        images = range(0, len(costs), step)
        hover = f"{name}<br>image %{{x:,}}<br>cost %{{y:.1%}}"
        line(figure, index, name, images, costs[::step], hover)
    _wanted(figure, wanted)
    here(
        figure,
        changes_at,
        annotation={"text": "corrupted from here on"},
        annotation_position="bottom right",
    )
    x = {"title": "images so far", "tickformat": ","}
    return styled(figure, _HEIGHT + 60, x, {"title": "cost, last 100 images", "tickformat": ".0%"})


def _wanted(figure: go.Figure, wanted: float | None) -> None:
    if wanted is not None:
        figure.add_hline(y=wanted, line={"color": colours().quiet, "width": 1.5, "dash": "dot"})
