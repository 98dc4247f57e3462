"""Figures of two machines and a link: training times by its speed, latency by the split."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.plotly import BLUE, LEGEND, ORANGE, colours, hatched, here, line, styled
from core.edge_cloud.inference import InferencePlan

_ROW = 46  # pixels


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


def latency_by_split(plans: Sequence[tuple[str, InferencePlan]]) -> go.Figure:
    """Draw where the mean latency of each split comes from, with p50 and p95, in rows.

    Args:
        plans: with their titles, the first one on top.
    """
    figure = go.Figure()
    titles = [title for title, _ in plans]
    ink = colours().ink
    for place, (name, colour, shape) in enumerate(
        (("device", BLUE, ""), ("link", colours().quiet, "/"), ("cloud", ORANGE, "x"))
    ):
        figure.add_bar(
            x=[1000 * plan.mean_seconds[place] for _, plan in plans],
            y=titles,
            name=f"mean: {name}",
            orientation="h",
            marker=hatched(colour, shape),
            hovertemplate=f"%{{y}}<br>{name}: %{{x:.3~g}} ms in the mean<extra></extra>",
        )
    for percent, symbol, size in ((50, "circle-open", 17), (95, "diamond", 9)):
        figure.add_scatter(
            x=[1000 * plan.percentile(percent) for _, plan in plans],
            y=titles,
            name=f"p{percent}",
            mode="markers",
            marker={"symbol": symbol, "size": size, "color": ink, "line": {"width": 2.5}},
            hovertemplate=f"%{{y}}<br>p{percent}: %{{x:.3~g}} ms<extra></extra>",
        )
    x = {"title": "latency of an answer (ms)", "rangemode": "tozero"}
    y = {"categoryorder": "array", "categoryarray": titles[::-1], "title": ""}
    stacked = {"barmode": "stack", "bargap": 0.35, "legend": LEGEND | {"traceorder": "normal"}}
    return styled(figure, 110 + _ROW * len(titles), x, y, **stacked)
