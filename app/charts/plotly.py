"""Plotly figures in the explorer's style: colours, lines, bars, and how they are shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas  # noqa: F401  # else plotly may look into one that another thread is importing
import plotly.graph_objects as go
import streamlit as st

from app.components.save_chart import save_chart

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

LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
"""Where a legend stands: above the figure."""


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


def styled(
    figure: go.Figure,
    height: int,
    x: Mapping[str, Any] | None = None,
    y: Mapping[str, Any] | None = None,
    **layout: Any,
) -> go.Figure:
    """Give a figure its layout, with the page's colours and size of text.

    All at once: each further change of a layout costs Plotly milliseconds.

    Args:
        figure: with its traces and shapes.
        height: in pixels.
        x: of the x-axis.
        y: of the y-axis.
        layout: more of it.
    """
    hues = colours()
    axis = {"gridcolor": hues.line, "zerolinecolor": hues.line, "automargin": True}
    figure.layout = figure.layout.to_plotly_json() | {
        "template": None,  # the page brings its own
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "font": {"size": 14, "color": hues.ink},
        "plot_bgcolor": "rgba(0,0,0,0)",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"font": {"size": 14}},
        "dragmode": False,
        "legend": LEGEND,
        "xaxis": axis | dict(x or {}),
        "yaxis": axis | dict(y or {}),
        **layout,
    }
    return figure


def line(
    figure: go.Figure,
    index: int,
    name: str,
    x: Iterable[float],
    y: Iterable[float],
    hover: str,
    marker: dict[str, Any] | None = None,
    **more: Any,
) -> None:
    """Add a line with the colour and dash of a place in `SERIES`, and markers if they are styled.

    Args:
        figure: to add it to.
        index: of the series, from 0.
        name: in the legend.
        x: of its points.
        y: of its points.
        hover: what a point tells, in Plotly's template language.
        marker: style of the points; without it there are none.
        more: of Plotly's.
    """
    colour, dash, symbol = SERIES[index % len(SERIES)]
    figure.add_scatter(
        x=list(x),
        y=list(y),
        name=name,
        mode="lines" if marker is None else "lines+markers",
        line={"color": colour, "width": 3, "dash": dash},
        marker={"symbol": symbol} | (marker or {}),
        hovertemplate=f"{hover}<extra></extra>",
        **more,
    )


def hatched(colour: str, shape: str) -> dict[str, Any]:
    """Return a marker for bars that are known by their pattern, too."""
    pattern = {"shape": shape, "size": 6, "solidity": 0.25, "fillmode": "overlay"}
    return {"color": colour, "pattern": pattern}


def here(figure: go.Figure, x: float, **more: Any) -> None:
    """Draw an upright line at the value that is set."""
    figure.add_vline(x=x, line={"color": colours().ink, "width": 2, "dash": "dot"}, **more)


def show(figure: go.Figure, key: str, alt: str) -> None:
    """Put a figure on the page, and what saves it.

    Args:
        figure: to show.
        key: unique on the page.
        alt: what it shows, for who cannot see it, and below it where it is saved.
    """
    st.plotly_chart(figure, key=key, config={"displayModeBar": False}, alt=alt)
    save_chart(f".st-key-{key} .js-plotly-plot", alt, key)


def import_parts() -> None:
    """Have Plotly import the parts that figures are made of, which it does at their first use."""
    figure = go.Figure()
    line(figure, 0, "", [0], [0], "", marker={"size": 1})
    figure.add_bar(x=[0], y=[0], marker=hatched(BLUE, "/"))
    figure.add_heatmap(z=[[0]], textfont={"size": 1})
    figure.add_histogram(x=[0])
    figure.add_vline(0, line={"width": 1})
    figure.layout = {"xaxis": {"title": ""}, "yaxis": {"title": ""}, "legend": LEGEND}
    figure.to_json()
