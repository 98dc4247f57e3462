"""Charts that move with the thresholds: HTML and SVG that fill the width they are given.

Lines and bars are stretched; text and markers lie on top of them, so they keep their size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app import text
from core.exits.table import CostArray, IntArray

_TICKS = 6


def histogram(
    right: IntArray, wrong: IntArray, threshold: float, enabled: bool, exit_index: int, name: str
) -> str:
    """Return the scores at one exit: right answers upwards, wrong ones downwards.

    Each half has its own scale, as right answers are many and wrong ones few.

    Args:
        right: (bins,) right answers by score, the bins dividing [0, 1].
        wrong: (bins,) wrong ones.
        threshold: drawn as a line that can be dragged.
        enabled: whether the exit is in use; without, there is no line.
        exit_index: of the exit.
        name: of the exit.
    """
    bins = len(right)
    bars = _bars(right, "up", bins) + _bars(wrong, "down", bins)
    hidden = "" if enabled else " hidden"
    says = f"Scores at {name}: {int(right.sum()):,} right and {int(wrong.sum()):,} wrong answers"
    return (
        f'<figure class="ee-histogram"><figcaption><b>{name}</b>'
        f'<span class="ee-right">▲ {int(right.sum()):,} right</span>'
        f'<span class="ee-wrong">▼ {int(wrong.sum()):,} wrong</span></figcaption>'
        f'<div class="ee-bars" data-histogram="{exit_index}" role="img" aria-label="{says}">'
        f'<svg viewBox="0 0 {bins} 200" preserveAspectRatio="none">{bars}</svg>'
        f'<div class="ee-line" data-mark="{exit_index}" style="left:{threshold:.4%}"{hidden}>'
        "</div></div>"
        '<div class="ee-scale-x"><span>0</span><span>score</span><span>1</span></div></figure>'
    )


def _bars(counts: IntArray, direction: str, bins: int) -> str:
    most = max(int(counts.max()), 1)
    parts = []
    for index, count in enumerate(counts.tolist()):
        height = 96 * count / most
        top = 100 - height if direction == "up" else 100
        word = "right" if direction == "up" else "wrong"
        edges = f"score {index / bins:.2f} to {(index + 1) / bins:.2f}"
        parts.append(
            f'<rect class="ee-{direction}" x="{index + 0.04}" y="{top:.2f}" width="0.92" '
            f'height="{height:.2f}"><title>{edges}: {count:,} {word}</title></rect>'
        )
    return "".join(parts)


@dataclass(frozen=True)
class Marked:
    """A point on the accuracy–cost chart."""

    name: str
    cost: float
    accuracy: float


@dataclass(frozen=True)
class Axes:
    """What part of the plane a chart shows."""

    x: tuple[float, float]
    y: tuple[float, float]


def axes_of(points: Sequence[Marked], front: tuple[CostArray, CostArray]) -> Axes:
    """Return axes with room for all points: cost from 0, accuracy as close as it gets."""
    costs = [point.cost for point in points] + [float(front[0].max())]
    accuracies = [point.accuracy for point in points]
    accuracies += [float(front[1].min()), float(front[1].max())]
    low, high = min(accuracies), max(accuracies)
    margin = max((high - low) * 0.08, 0.002)
    return Axes((0.0, max(*costs, 1.0) * 1.05), (max(low - margin, 0.0), min(high + margin, 1.0)))


def curve(
    front: tuple[CostArray, CostArray],
    alone: Sequence[Marked],
    plain: Marked | None,
    here: Marked,
    axes: Axes,
) -> str:
    """Return accuracy against compute: what can be reached, single exits, the yardstick, you.

    Args:
        front: relative cost and accuracy (M,) of the best policies, by rising cost.
        alone: networks that are cut off at each exit.
        plain: the plain network.
        here: the policy that is set.
        axes: as `axes_of` returns them.
    """
    path = " ".join(
        f"{1000 * _share(cost, axes.x):.2f},{1000 - 1000 * _share(accuracy, axes.y):.2f}"
        for cost, accuracy in zip(*front, strict=True)
    )
    xs, ys = _ticks(axes.x), _ticks(axes.y)
    lines = "".join(
        f'<line x1="0" x2="1000" y1="{1000 - 1000 * _share(y, axes.y):.2f}" '
        f'y2="{1000 - 1000 * _share(y, axes.y):.2f}"/>'
        for y in ys
    )
    digits = _digits(ys)
    labels = "".join(
        f'<span class="ee-tick-y" style="bottom:{_share(y, axes.y):.3%}">'
        f"{text.percent(y, digits)}</span>"
        for y in ys
    ) + "".join(
        f'<span class="ee-tick-x" style="left:{_share(x, axes.x):.3%}">{text.percent(x, 0)}</span>'
        for x in xs
    )
    marks = "".join(_mark(one, axes, "alone", "◇") for one in alone)
    if plain is not None:
        marks += _mark(plain, axes, "plain", "★")
    marks += _mark(here, axes, "here", "", "data-dot")
    says = "Accuracy against relative cost of all policies worth choosing"
    legend = (
        '<span><i class="ee-key-line"></i>best thresholds there are</span>'
        '<span><i class="ee-point ee-here"></i>you</span>'
        '<span><i class="ee-point ee-alone">◇</i>every image to the same exit</span>'
    )
    if plain is not None:
        legend += f'<span><i class="ee-point ee-plain">★</i>{escape(plain.name)}</span>'
    return (
        '<figure class="ee-chart"><div class="ee-title-y">accuracy</div>'
        f'<div class="ee-plot" data-curve role="img" aria-label="{says}">'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none">{lines}'
        f'<polyline points="{path}"/></svg>{labels}{marks}</div>'
        '<div class="ee-title-x">relative cost (plain network = 100 %)</div>'
        f"<figcaption>{legend}</figcaption></figure>"
    )


def _mark(point: Marked, axes: Axes, kind: str, glyph: str, mark: str = "") -> str:
    says = (
        f"{point.name}: accuracy {text.percent(point.accuracy, 2)}, "
        f"relative cost {text.percent(point.cost)}"
    )
    return (
        f'<i class="ee-point ee-{kind}" {mark} title="{escape(says)}" style="left:'
        f'{_share(point.cost, axes.x):.3%};bottom:{_share(point.accuracy, axes.y):.3%}">{glyph}</i>'
    )


def _share(value: float, limits: tuple[float, float]) -> float:
    return (float(value) - limits[0]) / (limits[1] - limits[0])


def _ticks(limits: tuple[float, float]) -> list[float]:
    """Return round values within the limits, about six of them."""
    rough = (limits[1] - limits[0]) / _TICKS
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    first, last = math.ceil(limits[0] / step), math.floor(limits[1] / step)
    return [index * step for index in range(first, last + 1)]


def _digits(ticks: Sequence[float]) -> int:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.01
    return max(0, -math.floor(math.log10(step * 100) + 1e-9))
