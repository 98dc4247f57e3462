"""Figures of training times against the speed of a link."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.plotly import SERIES, colours, styled


def seconds_against_rate(
    rates: Sequence[float],
    lines: Sequence[tuple[str, Sequence[float]]],
    crossings: Sequence[tuple[float, float]],
    here: float,
) -> go.Figure:
    """Draw the seconds per epoch of several plans, both axes logarithmic.

    Args:
        rates: bits per second.
        lines: of each plan its name and seconds, one for each rate.
        crossings: rates where the quickest plan changes, with the seconds there.
        here: the rate that is set.
    """
    hues = colours()
    figure = go.Figure()
    for index, (name, seconds) in enumerate(lines):
        colour, dash, _ = SERIES[index % len(SERIES)]
        figure.add_scatter(
            x=list(rates),
            y=list(seconds),
            name=name,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 3},
            hovertemplate=f"{name}: %{{y:.3s}} s<br>at %{{x:.3s}}bit/s<extra></extra>",
        )
    figure.add_scatter(
        x=[rate for rate, _ in crossings],
        y=[seconds for _, seconds in crossings],
        name="another plan becomes the quickest",
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": 14,
            "color": hues.ink,
            "line": {"width": 2.5, "color": hues.ink},
        },
        hovertemplate="from %{x:.3s}bit/s on another<br>plan is the quickest<extra></extra>",
    )
    figure.add_vline(x=here, line={"color": hues.ink, "width": 2, "dash": "dot"})
    figure.update_xaxes(type="log", title="link (bit/s)", tickformat=".0s", dtick=1)
    figure.update_yaxes(type="log", title="seconds per epoch", tickformat=".2~s")
    return styled(figure, 430)
