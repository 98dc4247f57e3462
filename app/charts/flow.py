"""Figure of the ways that images take: from their class to their exit to their answer."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.plotly import BLUE, ORANGE, colours, styled
from core.analysis.flow import Flow

_ROW = 30  # pixels


def flow_chart(flow: Flow, classes: Sequence[str], exits: Sequence[str]) -> go.Figure:
    """Draw ways as bands as wide as the number of images, right ones blue, wrong ones orange.

    Args:
        flow: with M classes and E exits.
        classes: (M,) their names.
        exits: (E,) their names.
    """
    hues = colours()
    first, last = len(classes), len(classes) + len(exits)
    links: list[tuple[int, int, int, str]] = []
    for right, colour in ((1, _soft(BLUE)), (0, _soft(ORANGE))):
        for index in range(len(exits)):
            for row in range(len(classes)):
                count = int(flow.counts[row, index, right])
                links.append((row, first + index, count, colour))
            total = int(flow.counts[:, index, right].sum())
            links.append((first + index, last + 1 - right, total, colour))
    links = [link for link in links if link[2]]
    sources, targets, values, tints = zip(*links, strict=True)
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            node={
                "label": [*classes, *exits, "✓ right", "✗ wrong"],
                "color": [*[hues.quiet] * last, BLUE, ORANGE],
                "pad": 12,
                "thickness": 16,
                "line": {"width": 0},
                "hovertemplate": "%{label}: %{value:,} images<extra></extra>",
            },
            link={
                "source": sources,
                "target": targets,
                "value": values,
                "color": tints,
                "hovertemplate": "%{source.label} → %{target.label}: %{value:,}<extra></extra>",
            },
            textfont={"size": 14, "color": hues.ink},
        )
    )
    return styled(figure, max(320, _ROW * len(classes) + 40))


def _soft(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.45)"
