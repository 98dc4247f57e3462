"""Figure of training times against the speed of a link."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.plotly import colours, here, line, styled


def seconds_against_rate(
    rates: Sequence[float],
    lines: Sequence[tuple[str, Sequence[float]]],
    crossings: Sequence[tuple[float, float]],
    now: float,
) -> go.Figure:
    """Draw the seconds per epoch of several plans, both axes logarithmic.

    Args:
        rates: bits per second.
        lines: of each plan its name and seconds, one for each rate.
        crossings: rates where the quickest plan changes, with the seconds there.
        now: the rate that is set.
    """
    figure = go.Figure()
    for index, (name, seconds) in enumerate(lines):
        hover = f"{name}<br>%{{y:.3s}} s<br>at %{{x:.3s}}bit/s"
        line(figure, index, name, rates, seconds, hover)
    ink = colours().ink
    figure.add_scatter(
        x=[rate for rate, _ in crossings],
        y=[seconds for _, seconds in crossings],
        name="another plan becomes the quickest",
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": 14,
            "color": ink,
            "line": {"width": 2.5, "color": ink},
        },
        hovertemplate="from %{x:.3s}bit/s on another<br>plan is the quickest<extra></extra>",
    )
    here(figure, now)
    return styled(
        figure,
        430,
        x={"type": "log", "title": "link (bit/s)", "tickformat": ".0s", "dtick": 1},
        y={"type": "log", "title": "seconds per epoch", "tickformat": ".2~s"},
    )
