"""Plotly figures. They draw what they are given and work nothing out."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from core.table import CostArray, IntArray

BLUE, ORANGE = "#2b87c2", "#d9721a"  # on white and on black alike, for every kind of colour vision
CONFIG = {"displayModeBar": False}


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


def _layout(figure: go.Figure, height: int, hues: Colours, top: int = 8) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": top, "b": 8},
        font={"size": 14, "color": hues.ink},
        plot_bgcolor="rgba(0,0,0,0)",
        paper_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"font": {"size": 14}},
        dragmode=False,
    )
    figure.update_xaxes(gridcolor=hues.line, zerolinecolor=hues.line, automargin=True)
    figure.update_yaxes(gridcolor=hues.line, zerolinecolor=hues.line, automargin=True)
    return figure


def score_histogram(
    right: IntArray, wrong: IntArray, threshold: float | None, hues: Colours
) -> go.Figure:
    """Draw who scores what at one exit: right answers upwards, wrong ones downwards.

    Each half has its own scale, as right answers are many and wrong ones few.

    Args:
        right: (bins,) right answers by score, the bins dividing [0, 1].
        wrong: (bins,) wrong ones.
        threshold: drawn as a line; None for an exit that is switched off.
        hues: of the page.
    """
    bins = len(right)
    edges = [f"{index / bins:.2f} to {(index + 1) / bins:.2f}" for index in range(bins)]
    centres = [(index + 0.5) / bins for index in range(bins)]
    figure = go.Figure()
    for name, counts, colour, axis in (
        ("right", right, BLUE, "y"),
        ("wrong", wrong, ORANGE, "y2"),
    ):
        figure.add_bar(
            x=centres,
            y=counts,
            width=1 / bins,
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            yaxis=axis,
            customdata=edges,
            hovertemplate=f"%{{y:,}} {name} answers<br>score %{{customdata}}<extra></extra>",
        )
    if threshold is not None:
        figure.add_shape(
            type="line",
            x0=threshold,
            x1=threshold,
            y0=0,
            y1=1,
            yref="paper",
            line={"color": hues.ink, "width": 2.5, "dash": "dot"},
        )
    figure.update_layout(
        bargap=0,
        showlegend=False,
        xaxis={"range": [-0.01, 1.01], "tickvals": [0, 0.5, 1], "anchor": "y2"},
        yaxis={"domain": [0.5, 1], "showticklabels": False, "showgrid": False},
        yaxis2={
            "domain": [0, 0.5],
            "showticklabels": False,
            "showgrid": False,
            "autorange": "reversed",
        },
    )
    for text, side, colour in (
        (f"▲ {int(right.sum()):,} right", "left", BLUE),
        (f"▼ {int(wrong.sum()):,} wrong", "right", ORANGE),
    ):
        figure.add_annotation(
            text=text,
            x=float(side == "right"),
            y=1,
            xref="paper",
            yref="paper",
            xanchor=side,
            yanchor="bottom",
            showarrow=False,
            font={"color": colour, "size": 14},
        )
    return _layout(figure, 210, hues, top=28)


@dataclass(frozen=True)
class Marked:
    """A point on the accuracy–cost curve."""

    name: str
    cost: float
    accuracy: float


def accuracy_and_cost(
    front: tuple[CostArray, CostArray],
    alone: tuple[CostArray, CostArray],
    exit_names: Sequence[str],
    plain: Marked | None,
    here: Marked,
    hues: Colours,
) -> go.Figure:
    """Draw what can be reached, what single exits achieve, the plain network, and you.

    Args:
        front: relative cost and accuracy (M,) of the best policies, by rising cost.
        alone: the same (E,) of networks that are cut off at each exit.
        exit_names: of the E exits.
        plain: the plain network.
        here: the policy that is set.
        hues: of the page.
    """
    figure = go.Figure()
    _points(figure, *front, name="best thresholds there are", colour=BLUE, mode="lines", width=3)
    _points(
        figure,
        *alone,
        name="every image to the same exit",
        colour=hues.quiet,
        mode="markers",
        symbol="diamond-open",
        size=11,
        labels=exit_names,
    )
    if plain is not None:
        _points(
            figure,
            [plain.cost],
            [plain.accuracy],
            name=plain.name,
            colour=hues.ink,
            mode="markers",
            symbol="star",
            size=17,
        )
    _points(
        figure,
        [here.cost],
        [here.accuracy],
        name=here.name,
        colour=ORANGE,
        mode="markers",
        symbol="circle",
        size=18,
    )
    figure.update_layout(
        legend={"orientation": "h", "y": -0.2, "x": 0, "font": {"size": 14}},
        xaxis={
            "title": "relative cost (plain network = 100 %)",
            "tickformat": ".0%",
            "rangemode": "tozero",
        },
        yaxis={"title": "accuracy", "tickformat": ".1%"},
        uirevision="curve",
    )
    return _layout(figure, 430, hues)


def _points(
    figure: go.Figure,
    cost: Sequence[float] | CostArray,
    accuracy: Sequence[float] | CostArray,
    *,
    name: str,
    colour: str,
    mode: str,
    symbol: str = "circle",
    size: int = 8,
    width: int = 2,
    labels: Sequence[str] | None = None,
) -> None:
    said = "%{text}: " if labels is not None else ""
    figure.add_scatter(
        x=cost,
        y=accuracy,
        name=name,
        mode=mode,
        text=labels,
        marker={
            "color": colour,
            "symbol": symbol,
            "size": size,
            "line": {"width": 2, "color": colour},
        },
        line={"color": colour, "width": width},
        hovertemplate=f"{said}{name}<br>accuracy %{{y:.2%}}<br>"
        "relative cost %{x:.1%}<extra></extra>",
    )
