"""Plotly figures. They draw what they are given and work nothing out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.exits.table import CostArray, FloatArray, IntArray
from core.hub.sizes import PlainNetwork, accuracy_by_size

BLUE, ORANGE = "#2b87c2", "#d9721a"  # on white and on black alike, for every kind of colour vision
SERIES = (  # colour, dash and marker, so that no line is known by its colour alone
    (BLUE, "solid", "circle"),
    (ORANGE, "dash", "square"),
    ("#2a9d74", "dot", "diamond"),
    ("#b0629e", "dashdot", "triangle-up"),
    ("#7d8796", "longdash", "cross"),
    ("#a8862b", "solid", "x"),
    ("#6a6fd0", "dash", "star"),
    ("#3a9fb0", "longdashdot", "hexagon"),
    ("#a8705a", "dot", "triangle-down"),
)
_STARS = ("star", "hexagram", "star-square")
CONFIG = {"displayModeBar": False}
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
class Colours:
    """What depends on a light or dark page."""

    ink: str
    quiet: str
    line: str


def colours() -> Colours:
    """Return the colours of the page as it is shown now."""
    if st.context.theme.type == "dark":
        return Colours("#e8ecf2", "#a4adba", "#333b48")
    return Colours("#1a2230", "#5b6574", "#dde2e8")


def styled(figure: go.Figure, height: int) -> go.Figure:
    """Give a figure the page's colours, size of text and height in pixels."""
    hues = colours()
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        font={"size": 14, "color": hues.ink},
        plot_bgcolor="rgba(0,0,0,0)",
        paper_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"font": {"size": 14}},
        dragmode=False,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    axis = {"gridcolor": hues.line, "zerolinecolor": hues.line, "automargin": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def severity(
    severities: Sequence[float],
    scores: FloatArray,
    exits: IntArray,
    names: Sequence[str],
    here: float,
) -> go.Figure:
    """Draw how the scores fall as an image gets worse, and where it leaves.

    Args:
        severities: S of them, in [0, 1].
        scores: (S, E-1).
        exits: (S,) where the image leaves.
        names: of the E exits.
        here: the severity that is set.
    """
    figure = go.Figure()
    last = len(names) - 1
    for index in range(last):
        colour, dash, symbol = SERIES[index % len(SERIES)]
        leaves = exits == index
        figure.add_scatter(
            x=severities,
            y=scores[:, index],
            name=names[index],
            mode="lines+markers",
            line={"color": colour, "width": 3, "dash": dash},
            marker={"symbol": symbol, "size": [11 if one else 0.1 for one in leaves]},
            text=[names[exit_index] for exit_index in exits],
            hovertemplate=f"{names[index]}: score %{{y:.3f}}<br>severity %{{x:.0%}}<br>"
            "leaves at %{text}<extra></extra>",
        )
    hues = colours()
    figure.add_vline(x=here, line={"color": hues.ink, "width": 2, "dash": "dot"})
    figure.update_xaxes(title="severity", tickformat=".0%", range=[-0.02, 1.02])
    figure.update_yaxes(title="score", range=[-0.04, 1.06])
    return styled(figure, 300)


def reliability(said: CostArray, was: CostArray, counts: IntArray) -> go.Figure:
    """Draw how often answers of a probability were right, beside what they should be.

    Args:
        said: (bins,) mean probability.
        was: (bins,) accuracy; NaN where a bin is empty.
        counts: (bins,) answers in it.
    """
    hues = colours()
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="as sure as right",
        line={"color": hues.quiet, "dash": "dot", "width": 2},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=said,
        y=was,
        mode="lines+markers",
        name="this exit",
        line={"color": BLUE, "width": 3},
        marker={"size": 9},
        customdata=counts,
        hovertemplate="%{customdata:,} answers<br>on average %{x:.1%} sure<br>"
        "%{y:.1%} of them right<extra></extra>",
    )
    figure.update_xaxes(title="how sure the answer is", tickformat=".0%", range=[0, 1.02])
    figure.update_yaxes(title="how often it is right", tickformat=".0%", range=[0, 1.02])
    return styled(figure, 380)


def confusion(counts: IntArray, classes: Sequence[str]) -> go.Figure:
    """Draw which class was taken for which; the right answers are left out, or they hide the rest.

    Args:
        counts: (K, K), [label, answer].
        classes: the K names.
    """
    wrong = counts.astype(float)
    wrong[range(len(classes)), range(len(classes))] = float("nan")
    figure = go.Figure()
    figure.add_heatmap(
        x=list(classes),
        y=list(classes),
        z=wrong,
        colorscale=[[0, "rgba(217,114,26,0.04)"], [1, ORANGE]],
        showscale=False,
        xgap=2,
        ygap=2,
        text=[[f"{count:.0f}" if count > 0 else "" for count in row] for row in wrong],
        texttemplate="%{text}" if len(classes) <= 20 else None,
        textfont={"color": colours().ink},
        hovertemplate="%{y} taken for %{x}: %{z:,} times<extra></extra>",
    )
    figure.update_xaxes(title="answer", type="category", showgrid=False)
    figure.update_yaxes(title="label", type="category", autorange="reversed", showgrid=False)
    return styled(figure, 380)


def cost_beside_accuracy(
    names: Sequence[str], costs: CostArray, accuracies: CostArray
) -> go.Figure:
    """Draw two bars per exit: what has been computed by then, and how many answers are right.

    Args:
        names: of the E exits.
        costs: (E,) in units of the plain network.
        accuracies: (E,) in [0, 1].
    """
    figure = go.Figure()
    for name, values, colour, pattern in (
        ("compute up to here", costs, ORANGE, "/"),
        ("answers right", accuracies, BLUE, ""),
    ):
        figure.add_bar(
            x=list(names),
            y=values,
            name=name,
            text=values,
            texttemplate="%{y:.1%}",
            textposition="outside",
            cliponaxis=False,
            marker={"color": colour, "pattern": {"shape": pattern, "size": 6, "solidity": 0.25}},
            hovertemplate=f"%{{x}}: {name} %{{y:.2%}}<extra></extra>",
        )
    figure.update_yaxes(tickformat=".0%", range=[0, max(1.12, 1.12 * float(costs.max()))])
    figure.update_layout(barmode="group", bargap=0.3)
    return styled(figure, 400)


def rehearsal(naive: CostArray, proven: CostArray, epsilon: float) -> go.Figure:
    """Draw the true risks of many choices of thresholds beside what was allowed.

    Args:
        naive: (D,) of thresholds that looked good.
        proven: (D,) of thresholds with a proof.
        epsilon: what was allowed.
    """
    hues = colours()
    figure = go.Figure()
    for name, risks, colour, pattern in (
        ("looks good", naive, ORANGE, "/"),
        ("proven", proven, BLUE, ""),
    ):
        figure.add_histogram(
            x=risks,
            name=name,
            nbinsx=60,
            opacity=0.8,
            marker={"color": colour, "pattern": {"shape": pattern, "size": 6, "solidity": 0.25}},
            hovertemplate=f"%{{y}} of the {name}: accuracy lost %{{x}}<extra></extra>",
        )
    figure.add_vline(
        x=epsilon,
        line={"color": hues.ink, "width": 2.5, "dash": "dot"},
        annotation={"text": "allowed", "font": {"color": hues.ink, "size": 14}},
    )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title="accuracy lost on all images", tickformat=".1%")
    figure.update_yaxes(title="calibration sets")
    return styled(figure, 360)


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
    figure = go.Figure()
    for index, line in enumerate(lines):
        colour, dash, _ = SERIES[index % len(SERIES)]
        if line is not None:
            name, costs, accuracies = line
            figure.add_scatter(
                x=costs,
                y=accuracies,
                name=name,
                mode="lines",
                line={"color": colour, "dash": dash, "width": 3},
                hovertemplate=f"{name}<br>accuracy %{{y:.2%}}<br>{cost_format}<extra></extra>",
            )
    for index, (spot, line) in enumerate(zip(here, lines, strict=True)):
        colour, _, symbol = SERIES[index % len(SERIES)]
        figure.add_scatter(
            x=[spot.cost],
            y=[spot.accuracy],
            name=spot.name,
            showlegend=line is None,
            mode="markers+text",
            text=[f"<b>{spot.name[0]}</b>"],
            textposition="bottom right" if index else "top left",
            textfont={"size": 17, "color": hues.ink},
            cliponaxis=False,
            marker={
                "symbol": symbol,
                "size": 17,
                "color": colour,
                "line": {"color": hues.ink, "width": 2},
            },
            hovertemplate=f"{spot.name}<br>accuracy %{{y:.2%}}<br>{cost_format}<extra></extra>",
        )
    _stars(figure, plain, cost_format)
    if in_macs:  # networks of other sizes lie apart by factors, and would stick to the edges
        _macs_axis(figure)
    else:
        figure.update_xaxes(
            title="relative cost (plain network = 100 %)", tickformat=".0%", rangemode="tozero"
        )
    figure.update_yaxes(title="accuracy", tickformat=".1%")
    return styled(figure, 430)


def _macs_axis(figure: go.Figure) -> None:
    """Make the axis of MACs fit what was drawn: call it last."""
    macs = [cost for trace in figure.data for cost in trace.x]
    wide = max(macs) > _WIDE * min(macs)
    figure.update_xaxes(
        title="MACs per image, logarithmic",
        type="log",
        dtick=1 if wide else "D2",  # each decade, or 1, 2 and 5 of each
        tickformat=".3~s",
    )


def _stars(figure: go.Figure, plain: Sequence[Spot], cost_format: str) -> None:
    for symbol, spot in zip(cycle(_STARS), plain, strict=False):
        figure.add_scatter(
            x=[spot.cost],
            y=[spot.accuracy],
            name=spot.name,
            mode="markers",
            marker={"symbol": symbol, "size": 15, "color": colours().ink},
            hovertemplate=f"{spot.name}<br>accuracy %{{y:.2%}}<br>{cost_format}<extra></extra>",
        )


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
    hover = "accuracy %{customdata:.2%}<br>%{x:.3s} MACs<extra></extra>"
    best = {(one.macs, one.accuracy) for one in sizes}
    reached = [cost for _, costs, _ in lines for cost in costs] + [spot.cost for spot in plain]
    room = min(reached) * (max(reached) / min(reached)) ** _NAME_WIDTH
    figure = go.Figure()
    for index, (name, costs, accuracies) in enumerate(lines):
        colour, dash, symbol = SERIES[index % len(SERIES)]
        figure.add_scatter(
            x=costs,
            y=_errors(accuracies),
            customdata=accuracies,
            name=name,
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2.5},
            marker={"symbol": symbol, "size": 9, "maxdisplayed": 9},
            hovertemplate=f"{name}<br>{hover}",
        )
    if len(sizes) > 1:
        knots = [one.macs for one in sizes]
        macs = np.union1d(knots, np.geomspace(knots[0], knots[-1], 100)).tolist()
        figure.add_scatter(
            x=macs,
            y=_errors([accuracy_by_size(sizes, one) or 0.0 for one in macs]),  # none is too small
            name="being small instead",
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
        hovertemplate=f"%{{text}}, plain<br>{hover}",
    )
    _macs_axis(figure)
    ticks = _error_ticks([error for trace in figure.data for error in trace.y])
    figure.update_yaxes(
        title="accuracy (log error)",
        type="log",
        autorange="reversed",
        tickvals=ticks,
        ticktext=[f"{100 * (1 - error):g}%" for error in ticks],
    )
    return styled(figure, 540)


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
