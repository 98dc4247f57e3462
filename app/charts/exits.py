"""Figures of exits: scores, calibration, confusion, costs and risks."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.plotly import BLUE, ORANGE, colours, hatched, here, line, styled
from core.exits.table import CostArray, FloatArray, IntArray


def severity(
    severities: Sequence[float],
    scores: FloatArray,
    exits: IntArray,
    names: Sequence[str],
    now: float,
) -> go.Figure:
    """Draw how the scores fall as an image gets worse, and where it leaves.

    Args:
        severities: S of them, in [0, 1].
        scores: (S, E-1).
        exits: (S,) where the image leaves.
        names: of the E exits.
        now: the severity that is set.
    """
    figure = go.Figure()
    for index, name in enumerate(names[:-1]):
        line(
            figure,
            index,
            name,
            severities,
            scores[:, index],
            f"{name}: score %{{y:.3f}}<br>severity %{{x:.0%}}<br>leaves at %{{text}}",
            marker={"size": [11 if leaves else 0.1 for leaves in exits == index]},
            text=[names[exit_index] for exit_index in exits],
        )
    here(figure, now)
    return styled(
        figure,
        300,
        x={"title": "severity", "tickformat": ".0%", "range": [-0.02, 1.02]},
        y={"title": "score", "range": [-0.04, 1.06]},
    )


Bins = tuple[CostArray, CostArray, IntArray]
"""Mean probability, accuracy (NaN where a bin is empty) and number of answers in bins."""


def reliability(answers: Bins, before: Bins | None = None) -> go.Figure:
    """Draw how often answers of a probability were right, beside what they should be.

    Args:
        answers: of an exit.
        before: without its temperature, where it has one.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="perfectly calibrated",
        line={"color": colours().quiet, "dash": "dot", "width": 2},
        hoverinfo="skip",
    )
    drawn = {"this exit": answers}
    if before is not None:
        drawn = {"with its temperature": answers, "without": before}
    for index, (name, (probabilities, accuracies, counts)) in enumerate(drawn.items()):
        line(
            figure,
            index,
            name,
            probabilities,
            accuracies,
            "%{customdata:,} answers<br>mean probability %{x:.1%}<br>accuracy %{y:.1%}",
            marker={"size": 9},
            customdata=counts,
        )
    share = {"tickformat": ".0%", "range": [0, 1.02]}
    x, y = {"title": "probability of the answer"}, {"title": "accuracy"}
    return styled(figure, 380, x | share, y | share)


def confusion(counts: IntArray, classes: Sequence[str]) -> go.Figure:
    """Draw which class was confused with which; right answers are left out, or they hide the rest.

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
        hovertemplate="%{y} answered as %{x}: %{z:,} times<extra></extra>",
    )
    names = {"type": "category", "showgrid": False}
    x, y = {"title": "answer"}, {"title": "label", "autorange": "reversed"}
    return styled(figure, 380, x | names, y | names)


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
    for name, values, colour, shape in (
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
            marker=hatched(colour, shape),
            hovertemplate=f"%{{x}}: {name} %{{y:.2%}}<extra></extra>",
        )
    top = max(1.12, 1.12 * float(costs.max()))
    y = {"tickformat": ".0%", "range": [0, top]}
    return styled(figure, 400, y=y, barmode="group", bargap=0.3)


def proofs(samples: Sequence[int], chances: Sequence[float], now: int) -> go.Figure:
    """Draw how likely a target is to be proven with so many calibration images.

    Args:
        samples: numbers of images, rising.
        chances: of a proof, in [0, 1].
        now: number of images at hand.
    """
    figure = go.Figure()
    line(
        figure,
        0,
        "chance of a proof",
        samples,
        chances,
        "%{x:,} images: proven in %{y:.0%}",
        marker={"size": 9},
        showlegend=False,
    )
    here(figure, now)
    ticks = list(samples[::2])
    x = {"title": "calibration images", "type": "log", "tickvals": ticks, "tickformat": ","}
    y = {"title": "chance of a proof", "tickformat": ".0%", "range": [0, 1.05]}
    return styled(figure, 320, x, y)


def risks(naive: CostArray, proven: CostArray, epsilon: float) -> go.Figure:
    """Draw the true risks of many choices of thresholds beside what was allowed.

    Args:
        naive: (D,) of thresholds that looked good on calibration.
        proven: (D,) of thresholds with a proof.
        epsilon: what was allowed.
    """
    figure = go.Figure()
    for name, values, colour, shape in (
        ("looks good", naive, ORANGE, "/"),
        ("proven", proven, BLUE, ""),
    ):
        figure.add_histogram(
            x=values,
            name=name,
            nbinsx=60,
            histnorm="probability",
            opacity=0.8,
            marker=hatched(colour, shape),
            hovertemplate=f"%{{y:.0%}} of the {name}: accuracy lost %{{x}}<extra></extra>",
        )
    note = {"text": "allowed", "font": {"color": colours().ink, "size": 14}}
    here(figure, epsilon, annotation=note)
    x = {"title": "accuracy lost on all images", "tickformat": ".1%"}
    y = {"title": "share of the calibration sets", "tickformat": ".0%"}
    return styled(figure, 360, x, y, barmode="overlay")
