"""Figures of accuracy against compute: of two configurations, and of every method."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.charts.plotly import SERIES, colours, line, styled
from core.exits.table import CostArray
from core.hub.sizes import PlainNetwork, accuracy_by_size

_STARS = ("star", "hexagram", "star-square")
_LEAST_ERROR = 1e-4  # one image of 10,000: none has no logarithm
_NAME_WIDTH = 0.25  # of a chart on a phone
_WIDE = 200  # times as many MACs: from there on ticks between the decades would touch on a phone
_MOST_TICKS = 7
_TICKS = (
    *([n / parts for n in range(parts, 10 * parts)] for parts in (50, 20, 10, 5, 2)),
    (1, 1.5, *range(2, 10)),
    (1, 2, 3, 4, 6, 8),
    (1, 2, 5),
    (1,),
)


@dataclass(frozen=True)
class Spot:
    """A point on an accuracy–cost chart."""

    name: str
    cost: float
    accuracy: float


def accuracy_and_cost(
    lines: Sequence[tuple[str, CostArray, CostArray] | None],
    here: Sequence[Spot],
    plain: Sequence[Spot],
    in_macs: bool,
) -> go.Figure:
    """Draw what two or more configurations could achieve, and where they stand.

    Args:
        lines: for each a name, costs (M,) and accuracies (M,); None where there is no choice.
        here: where each stands.
        plain: networks without early exits.
        in_macs: whether costs are MACs, on a logarithmic axis; else they are in units of the
            plain network.
    """
    hues = colours()
    cost_format = "%{x:.3s} MACs" if in_macs else "%{x:.1%} of the plain network"
    hover = f"<br>accuracy %{{y:.2%}}<br>{cost_format}"
    figure = go.Figure()
    for index, drawn in enumerate(lines):
        if drawn is not None:
            name, costs, accuracies = drawn
            line(figure, index, name, costs, accuracies, name + hover)
    for index, (spot, drawn) in enumerate(zip(here, lines, strict=True)):
        colour, _, symbol = SERIES[index % len(SERIES)]
        _spot(
            figure,
            spot,
            hover,
            {
                "symbol": symbol,
                "size": 17,
                "color": colour,
                "line": {"color": hues.ink, "width": 2},
            },
            showlegend=drawn is None,
            mode="markers+text",
            text=[f"<b>{spot.name[0]}</b>"],
            textposition="bottom right" if index else "top left",
            textfont={"size": 17, "color": hues.ink},
            cliponaxis=False,
        )
    for symbol, spot in zip(cycle(_STARS), plain, strict=False):
        marker = {"symbol": symbol, "size": 15, "color": hues.ink}
        _spot(figure, spot, hover, marker, mode="markers")
    x = {
        "title": "relative cost (plain network = 100 %)",
        "tickformat": ".0%",
        "rangemode": "tozero",
    }
    if in_macs:  # networks of other sizes lie apart by factors, and would stick to the edges
        x = _macs_axis(figure)
    return styled(figure, 430, x, {"title": "accuracy", "tickformat": ".1%"})


def _spot(
    figure: go.Figure, spot: Spot, hover: str, marker: dict[str, object], **more: object
) -> None:
    figure.add_scatter(
        x=[spot.cost],
        y=[spot.accuracy],
        name=spot.name,
        marker=marker,
        hovertemplate=f"{spot.name}{hover}<extra></extra>",
        **more,
    )


def _macs_axis(figure: go.Figure) -> dict[str, Any]:
    """Return the axis of MACs for what was drawn."""
    macs = [cost for trace in figure.data for cost in trace.x]
    wide = max(macs) > _WIDE * min(macs)
    return {
        "title": "MACs per image, logarithmic",
        "type": "log",
        "dtick": 1 if wide else "D2",  # each decade, or 1, 2 and 5 of each
        "tickformat": ".3~s",
    }


def every_method(
    lines: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    plain: Sequence[Spot],
    sizes: Sequence[PlainNetwork],
) -> go.Figure:
    """Draw what many models achieve for how many MACs, and what plain networks of any size do.

    Both axes are logarithmic, accuracy by its error: networks that are worth comparing differ by
    a part of the few errors that are left.

    Args:
        lines: for each a name, MACs (M,) and accuracies (M,).
        plain: networks without early exits.
        sizes: the best of them, by size; joined by the line of `accuracy_by_size`.
    """
    hover = "accuracy %{customdata:.2%}<br>%{x:.3s} MACs"
    best = {(one.macs, one.accuracy) for one in sizes}
    reached = [cost for _, costs, _ in lines for cost in costs] + [spot.cost for spot in plain]
    room = min(reached) * (max(reached) / min(reached)) ** _NAME_WIDTH
    figure = go.Figure()
    for index, (name, costs, accuracies) in enumerate(lines):
        line(
            figure,
            index,
            name,
            costs,
            _errors(accuracies),
            f"{name}<br>{hover}",
            marker={"size": 9, "maxdisplayed": 9},
            customdata=accuracies,
        )
    if len(sizes) > 1:
        knots = [one.macs for one in sizes]
        macs = np.union1d(knots, np.geomspace(knots[0], knots[-1], 100)).tolist()
        figure.add_scatter(
            x=macs,
            y=_errors([accuracy_by_size(sizes, one) or 0.0 for one in macs]),  # none is too small
            name="smaller plain networks",
            mode="lines",
            line={"color": colours().ink, "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=[spot.cost for spot in plain],
        y=_errors([spot.accuracy for spot in plain]),
        customdata=[spot.accuracy for spot in plain],
        name="plain networks",
        mode="markers+text",
        text=[spot.name for spot in plain],
        textposition=[
            "top left"
            if (spot.cost, spot.accuracy) in best and spot.cost > room
            else "bottom right"
            for spot in plain
        ],
        textfont={"size": 12, "color": colours().ink},
        cliponaxis=False,
        marker={"symbol": "star", "size": 13, "color": colours().ink},
        hovertemplate=f"%{{text}}, plain<br>{hover}<extra></extra>",
    )
    ticks = _error_ticks([error for trace in figure.data for error in trace.y])
    y = {
        "title": "accuracy (log error)",
        "type": "log",
        "autorange": "reversed",
        "tickvals": ticks,
        "ticktext": [f"{100 * (1 - error):g}%" for error in ticks],
    }
    return styled(figure, 540, _macs_axis(figure), y)


def _errors(accuracies: Sequence[float]) -> list[float]:
    return [max(1 - accuracy, _LEAST_ERROR) for accuracy in accuracies]


def _error_ticks(errors: Sequence[float]) -> list[float]:
    """Return round errors for a logarithmic axis: as many as fit, but no more."""
    for digits in _TICKS:
        ticks = [digit / 10**power for power in range(5) for digit in digits]
        ticks = [tick for tick in ticks if min(errors) <= tick <= max(errors)]
        if len(ticks) <= _MOST_TICKS:
            break
    return ticks
