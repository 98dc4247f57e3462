"""A whole split under the hand: who scores what, and accuracy against compute."""

from dataclasses import asdict
from typing import Any

from app import resources, state, text
from app.charts import svg
from app.components.live import keep_in_browser, live
from core.exits.metrics import score_histogram
from core.exits.policy import Policy
from core.exits.report import Report
from core.exits.table import ExitTable
from core.hub.card import Card

BINS = 25
MACS = "{spent} of {whole} MACs per image"


def histograms(card: Card, policy: Policy, table: ExitTable) -> str:
    """Return a histogram of right and wrong answers' scores per early exit, side by side."""
    scores = policy.scores(table)
    drawn = []
    for index in range(card.num_exits - 1):
        right, wrong = score_histogram(scores[:, index], table.right[:, index], BINS)
        name = text.exit_name(index, card.num_exits)
        threshold, enabled = policy.thresholds[index], policy.enabled[index]
        drawn.append(svg.histogram(right, wrong, threshold, enabled, index, name))
    return f'<div class="ee-histograms" style="--exits:{len(drawn)}">{"".join(drawn)}</div>'


def curve(
    card: Card, view: state.View, table: ExitTable, report: Report
) -> tuple[str, dict[str, Any]]:
    """Return accuracy against compute on test, and what `split` needs to move the dot on it.

    Args:
        card: of the model.
        view: whose policy is the dot.
        table: the test split.
        report: of the policy there.
    """
    costs, accuracies, which = resources.reachable_on(view.model, view.policy.criterion, "test")
    front = resources.reachable(view.model, view.policy.criterion)
    alone = [
        svg.Marked(f"all at {text.exit_name(index, card.num_exits)}", cost, accuracy)
        for index, (cost, accuracy) in enumerate(
            zip(table.costs.alone(), table.accuracy_per_exit, strict=True)
        )
    ]
    plain = None
    if card.plain is not None:
        plain = svg.Marked("plain network", 1.0, card.plain.test_accuracy)
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


def split(
    card: Card, view: state.View, table: ExitTable, before: str, after: str, key: str, **more: Any
) -> None:
    """Show ``before``, the thresholds and ``after``; all follow a threshold while it moves."""
    live(
        before,
        after,
        keep_in_browser(table, view.policy, f"{card.name} {card.sha256[:12]} test"),
        card,
        view.policy,
        state.choose_policy,
        macs=MACS,
        columns=card.num_exits - 1,
        key=key,
        **more,
    )
