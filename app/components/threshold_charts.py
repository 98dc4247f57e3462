"""A whole split that follows its thresholds: score histograms, and accuracy against compute."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from app import resources, state, text
from app.charts import svg
from app.components.html import Reading, saving, why
from app.components.live import keep_in_browser, live
from app.components.save_chart import save_chart
from core.exits.certainty import Certainty
from core.exits.criteria import CRITERIA
from core.exits.metrics import score_histogram
from core.exits.policy import Policy
from core.exits.report import Report
from core.exits.table import ExitTable, IntArray
from core.foundation.files import csv_text
from core.hub.card import Card

BINS = 25
MACS = "{spent} of {whole} multiply-adds (MACs)"


def sure(view: state.View) -> str:
    """Return the line that explains the ranges under the figures, or "" where there are none."""
    split = resources.shown_split(view.model)
    certain = _certainty(view, split)
    if certain is None:
        return ""
    compared = _compared_with(view.model, split)
    return why(
        "Grey: where the figure lies on new images, with a confidence of 95 %",
        "The figures were measured on "
        f"{certain.samples:,} {split} images, and others like these would give slightly others. "
        f"Accuracy is compared with {compared} image by image: what both find hard cancels out, so "
        "the difference is known better than either accuracy. The ranges are true of thresholds "
        "that were not chosen by these images. Trying many and keeping those that look best "
        "here gives figures that are too good, and ranges that are too narrow. (Wilson’s interval "
        "of an accuracy, Tango’s of a paired difference, 1.96 standard errors of the mean "
        "compute.)",
    )


def _certainty(view: state.View, split: str) -> Certainty | None:
    # Calibration images have chosen the thresholds: no range is true of them.
    return resources.certainty_on(view.model, split, view.policy) if split == "test" else None


def _compared_with(model: str, split: str) -> str:
    known = resources.reference_on(model, split) is not None
    return "the plain network" if known else "the last exit"


def report_readings(card: Card, view: state.View, report: Report) -> list[Reading]:
    """Return the large numbers of a policy on the split that is shown."""
    split = resources.shown_split(view.model)
    accuracy = text.percent(report.accuracy, 2)
    reference = text.percent(card.reference_accuracy(split), 2)
    yardstick = "plain network" if card.plain else "last exit"
    certain = _certainty(view, split)
    if certain is None:
        first = [
            saving(card, report.relative_cost, MACS),
            Reading("accuracy", "Accuracy", accuracy, f"{yardstick} {reference}"),
        ]
    else:
        first = [
            saving(card, report.relative_cost, MACS, certain.relative_cost),
            Reading(
                "accuracy",
                "Accuracy",
                accuracy,
                f"{yardstick} {reference}",
                interval=text.interval(certain.accuracy, 2),
            ),
            Reading(
                "difference",
                "Difference",
                text.apart(certain.difference),
                f"points, from {_compared_with(view.model, split)}",
                interval=text.apart_interval(certain.difference_interval),
            ),
        ]
    return [
        *first,
        Reading("rescued", "Rescued", f"{report.rescued:,}", "right early, wrong at the last exit"),
        Reading("ruined", "Ruined", f"{report.ruined:,}", "wrong early, right at the last exit"),
    ]


def _counts(
    card: Card, policy: Policy, table: ExitTable
) -> Iterator[tuple[str, IntArray, IntArray]]:
    scores = policy.scores(table)
    for index, name in enumerate(text.exit_names(card.num_exits)[:-1]):
        yield name, *score_histogram(scores[:, index], table.right[:, index], BINS)


def histograms(card: Card, policy: Policy, table: ExitTable) -> str:
    """Return a histogram of right and wrong answers' scores per early exit, side by side."""
    drawn = []
    for index, (name, right, wrong) in enumerate(_counts(card, policy, table)):
        threshold, enabled = policy.thresholds[index], policy.enabled[index]
        drawn.append(svg.histogram(right, wrong, threshold, enabled, index, name))
    return f'<div class="ee-histograms" style="--exits:{len(drawn)}">{"".join(drawn)}</div>'


def save_histograms(card: Card, policy: Policy, table: ExitTable, split: str, live: str) -> None:
    """Offer to save `histograms`.

    Args:
        card: of the model.
        policy: whose criterion gives the scores.
        table: of the split.
        split: its name.
        live: key of the part of the page that they stand in.
    """
    rows = [
        (name, index / BINS, (index + 1) / BINS, right, wrong)
        for name, *counts in _counts(card, policy, table)
        for index, (right, wrong) in enumerate(zip(*counts, strict=True))
    ]
    save_chart(
        f".st-key-{live} .ee-histograms",
        f"{card.title}: {CRITERIA[policy.criterion].title.lower()} of right and wrong answers at "
        f"each exit, {len(table):,} {split} images",
        "scores",
        csv_text(("exit", "score from", "score to", "right", "wrong"), zip(*rows, strict=True)),
        label="Save the scores",
    )


def save_curve(
    card: Card, front: Sequence[tuple[float, float, list[float], list[bool]]], split: str, live: str
) -> None:
    """Offer to save the chart of `curve`, which returns ``front``; the rest as above."""
    names = text.exit_names(card.num_exits)[:-1]
    rows = [
        (cost, accuracy, *(at if on else "off" for at, on in zip(thresholds, enabled, strict=True)))
        for cost, accuracy, thresholds, enabled in front
    ]
    header = ("relative cost", "accuracy", *(f"threshold at {name}" for name in names))
    save_chart(
        f".st-key-{live} .ee-chart",
        f"{card.title}: accuracy on {split} against relative cost, of the best thresholds",
        "accuracy-cost",
        csv_text(header, zip(*rows, strict=True)),
        label="Save accuracy against compute",
    )


def curve(
    card: Card, view: state.View, table: ExitTable, report: Report
) -> tuple[str, dict[str, Any]]:
    """Return accuracy against compute, and what `live_split` needs to move the dot on it.

    Args:
        card: of the model.
        view: whose policy is the dot.
        table: of the split that is shown.
        report: of the policy there.
    """
    split = resources.shown_split(view.model)
    scores = view.policy.criterion, view.policy.temperatures
    costs, accuracies, which = resources.front_on(view.model, *scores, split)
    front = resources.front_of(view.model, *scores)
    names = text.exit_names(card.num_exits)
    alone = [
        svg.Marked(f"all at {name}", cost, accuracy)
        for name, cost, accuracy in zip(
            names, table.costs.alone(), table.accuracy_per_exit, strict=True
        )
    ]
    plain = None
    if card.plain is not None:
        plain = svg.Marked("plain network", 1.0, card.reference_accuracy(split))
    here = svg.Marked("You are here", report.relative_cost, report.accuracy)
    axes = svg.axes_of([*alone, *([plain] if plain else [])], (costs, accuracies))
    chart = svg.curve((costs, accuracies), alone, plain, here, axes)
    points = [
        (cost, accuracy, front.thresholds[index].tolist(), front.enabled[index].tolist())
        for cost, accuracy, index in zip(
            costs.tolist(), accuracies.tolist(), which.tolist(), strict=True
        )
    ]
    return chart, {"axes": asdict(axes), "front": points}


def live_split(
    card: Card, view: state.View, table: ExitTable, before: str, after: str, key: str, **more: Any
) -> None:
    """Show ``before``, the thresholds and ``after``; all follow a threshold while it moves."""
    reference = resources.reference_on(view.model, resources.shown_split(view.model))
    name = f"{card.name} {card.sha256[:12]} {len(table)} {reference is not None}"
    live(
        before,
        after,
        keep_in_browser(table, view.policy, name, reference),
        card,
        view.policy,
        state.choose_policy,
        macs=MACS,
        columns=card.num_exits - 1,
        key=key,
        **more,
    )
