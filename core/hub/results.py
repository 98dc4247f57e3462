"""Tables of results in Markdown, made from the models' cards alone."""

from collections.abc import Sequence
from pathlib import Path

from core.foundation.markdown import markdown_table, replace_between
from core.hub.card import Card, SplitFigures, TrainingFacts
from core.hub.sizes import accuracy_by_size, size_curve

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
DROPS = {0.005: "≤ 0.5 points", 0.01: "≤ 1 point", 0.02: "≤ 2 points"}
"""Columns of operating points: accuracy that they may lose on new images, and the heading."""
COSTS = {0.65: "within 65 %", 0.25: "within 25 %", 0.2: "within 20 %"}
"""Columns of operating points: relative cost that they may have on calibration, and the heading."""
MATCHED = 0.01
"""Drop of the operating point that a plain network of the same compute is compared with."""


def results_table(cards: Sequence[Card]) -> str:
    """Return a Markdown table of early-exit models beside plain networks, on test.

    Each cell is an operating point, chosen on calibration and reported on test: its relative cost,
    and in brackets its accuracy less that of the plain network of the same backbone, with its 95 %
    confidence interval. EENet comes first, as the project's main method; within a data set, the
    largest network.
    """
    early = [card for card in cards if card.num_exits > 1]
    early.sort(key=lambda card: (card.method != "eenet", card.dataset, -card.plain_macs))
    allowed = [*DROPS.values(), *COSTS.values()]
    head = ["early-exit network", "data", "plain network", *allowed, "being small instead"]
    rows = []
    for card in early:
        plain = card.reference_accuracy("test")
        cells = [
            f"`{card.name}`",
            card.dataset,
            f"{plain:.2%} with {card.plain_macs / 1e6:.1f} M MACs",
        ]
        cells += [_cell(_losing(card, drop), plain) for drop in DROPS]
        cells += [_cell(_within(card, cost), plain) for cost in COSTS]
        rows.append([*cells, _instead(card, cards)])
    return markdown_table(head, rows)


def _losing(card: Card, drop: float) -> SplitFigures | None:
    point = card.promised_point(drop)
    return None if point is None else point.test


def _within(card: Card, cost: float) -> SplitFigures | None:
    """Return the most accurate operating point, on calibration, within a relative cost there."""
    within = [
        (point.calibration.accuracy, point.test)
        for point in card.operating_points
        if point.calibration is not None and point.calibration.relative_cost <= cost
    ]
    return max(within, key=lambda pair: pair[0], default=(0, None))[1]


def _cell(point: SplitFigures | None, plain: float) -> str:
    if point is None:
        return "–"
    change = f"{100 * (point.accuracy - plain):+.2f}"
    if point.difference_interval is not None:
        change += "; {:+.2f} to {:+.2f}".format(*(100 * one for one in point.difference_interval))
    return f"**{point.relative_cost:.1%}** ({change})"


def _instead(card: Card, cards: Sequence[Card]) -> str:
    """Return the accuracy of a plain network with the compute of the matched operating point."""
    point = _losing(card, MATCHED)
    if point is None:
        return "–"
    curve = size_curve(cards, card.dataset)
    accuracy = accuracy_by_size(curve, point.relative_cost * card.plain_macs)
    if accuracy is None:
        return "none so small"
    return f"{accuracy:.1%} ({100 * (accuracy - point.accuracy):+.1f})"


def models_table(cards: Sequence[Card]) -> str:
    """Return a Markdown table of all models: size, compute and accuracy per exit on test."""
    head = ["model", "backbone", "M MACs", "parameters", "accuracy at each exit", "trained for"]
    rows = []
    for card in cards:
        accuracies = " · ".join(f"{value:.1%}" for value in card.per_exit_accuracy["test"])
        size = f"{card.plain_macs / 1e6:.2f}", f"{card.all_parameters:,}"
        trained = "–" if card.training is None else _trained_for(card.training)
        rows.append([f"`{card.name}`", card.spec.backbone, *size, accuracies, trained])
    return markdown_table(head, rows)


def _trained_for(training: TrainingFacts) -> str:
    begun = f" after `{training.start_from}`" if training.start_from else ""
    minutes = f"{training.seconds / 60:.0f} min on {training.hardware}"
    return f"{training.epochs} epochs{begun}, {minutes}"


def results_text(cards: Sequence[Card]) -> str:
    """Return both tables, as README.md has them."""
    return f"{results_table(cards)}\n\n{models_table(cards)}"


def update_results(path: Path, cards: Sequence[Card]) -> None:
    """Bring the tables in a Markdown file up to date.

    Raises:
        UserError: the marks are missing.
    """
    replace_between(path, BEGIN, END, results_text(cards))
