"""Figure of what goes along with leaving late."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.plotly import BLUE, ORANGE, colours, styled
from core.analysis.depth import Effect

_ROW = 34  # pixels


def effects_chart(effects: Sequence[tuple[str, Effect]]) -> go.Figure:
    """Draw effects with their intervals, each in a row of its own, the first one on top.

    Args:
        effects: with their titles.
    """
    figure = go.Figure()
    for later, name, colour, symbol in (
        (True, "leaves later", ORANGE, "triangle-right"),
        (False, "leaves earlier", BLUE, "triangle-left"),
    ):
        rows = [(title, one) for title, one in effects if one.certain and (one.value > 0) == later]
        _rows(figure, rows, name, colour, symbol)
    open_ones = [(title, one) for title, one in effects if not one.certain]
    _rows(figure, open_ones, "may be chance", colours().quiet, "circle-open")
    names = [title for title, _ in effects]
    figure.add_vline(x=0, line={"color": colours().ink, "width": 1})
    x = {"title": "← earlier · Somers’ D · later →", "tickformat": "+.1f", "zeroline": False}
    y = {"categoryorder": "array", "categoryarray": names[::-1], "title": ""}
    return styled(figure, 90 + _ROW * len(names), x, y, showlegend=True)


def _rows(
    figure: go.Figure, rows: Sequence[tuple[str, Effect]], name: str, colour: str, symbol: str
) -> None:
    if not rows:
        return
    values = [effect.value for _, effect in rows]
    figure.add_scatter(
        x=values,
        y=[title for title, _ in rows],
        name=name,
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 11},
        error_x={
            "array": [effect.high - effect.value for _, effect in rows],
            "arrayminus": [effect.value - effect.low for _, effect in rows],
            "color": colour,
            "thickness": 2,
        },
        customdata=[[effect.low, effect.high] for _, effect in rows],
        hovertemplate="%{y}: %{x:+.2f} (%{customdata[0]:+.2f} to %{customdata[1]:+.2f})"
        "<extra></extra>",
    )
