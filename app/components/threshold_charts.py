"""A whole split that follows its thresholds: score histograms, and accuracy against compute."""

from dataclasses import asdict
from typing import Any

from app import resources, state, text
from app.charts import svg
from app.components.html import Reading, saving
from app.components.live import keep_in_browser, live
from core.exits.metrics import score_histogram
from core.exits.policy import Policy
from core.exits.report import Report
from core.exits.table import ExitTable
from core.hub.card import Card

BINS = 25
MACS = "{spent} of {whole} MACs per image"


def report_readings(card: Card, report: Report, split: str) -> list[Reading]:
    """Return the large numbers of a policy on a split."""
    accuracy = text.percent(report.accuracy, 2)
    reference = text.percent(card.reference_accuracy(split), 2)
    yardstick = "plain network" if card.plain else "last exit"
    return [
        saving(card, report.relative_cost, MACS),
        Reading("accuracy", "Accuracy", accuracy, f"{yardstick} {reference}"),
        Reading("rescued", "Rescued", f"{report.rescued:,}", "right early, wrong at the last exit"),
        Reading("ruined", "Ruined", f"{report.ruined:,}", "wrong early, right at the last exit"),
    ]


def histograms(card: Card, policy: Policy, table: ExitTable) -> str:
    """Return a histogram of right and wrong answers' scores per early exit, side by side."""
    scores = policy.scores(table)
    drawn = []
    for index, name in enumerate(text.exit_names(card.num_exits)[:-1]):
        right, wrong = score_histogram(scores[:, index], table.right[:, index], BINS)
        threshold, enabled = policy.thresholds[index], policy.enabled[index]
        drawn.append(svg.histogram(right, wrong, threshold, enabled, index, name))
    return f'<div class="ee-histograms" style="--exits:{len(drawn)}">{"".join(drawn)}</div>'


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
    costs, accuracies, which = resources.front_on(view.model, view.policy.criterion, split)
    front = resources.front_of(view.model, view.policy.criterion)
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
    live(
        before,
        after,
        keep_in_browser(table, view.policy, f"{card.name} {card.sha256[:12]} {len(table)}"),
        card,
        view.policy,
        state.choose_policy,
        macs=MACS,
        columns=card.num_exits - 1,
        key=key,
        **more,
    )
