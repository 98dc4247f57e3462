"""The table of results, made from the models' cards and from nothing else."""

from collections.abc import Sequence
from pathlib import Path

from core.foundation.errors import UserError
from core.foundation.files import atomic_path
from core.hub.card import Card, SplitFigures
from core.hub.sizes import accuracy_by_size, size_curve

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
DROPS = {0.0: "nothing lost", 0.005: "≤ 0.5 points", 0.01: "≤ 1 point"}
"""What the operating points of the table may lose on calibration, and how its head says that."""
COSTS = {0.25: "within 25 %", 0.2: "within 20 %"}
"""What others may spend, likewise."""
MATCHED = 0.005
"""The one whose compute a plain network of another size is given."""


def results_table(cards: Sequence[Card]) -> str:
    """Return a Markdown table of early-exit models beside plain networks, on test.

    Each cell is an operating point, chosen on calibration and reported on test: its relative cost,
    and what it loses or gains against the plain network of the same backbone. EENet first, which
    this project is about; of each data set, the largest network first.
    """
    early = [card for card in cards if card.num_exits > 1]
    early.sort(key=lambda card: (card.method != "eenet", card.dataset, -card.plain_macs))
    allowed = [*DROPS.values(), *COSTS.values()]
    head = ["early-exit network", "data", "plain network", *allowed, "being small instead"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for card in early:
        plain = card.reference_accuracy("test")
        cells = [
            f"`{card.name}`",
            card.dataset,
            f"{plain:.2%} with {card.plain_macs / 1e6:.1f} M MACs",
        ]
        cells += [_cell(_point(card, drop), plain) for drop in DROPS]
        cells += [_cell(_within(card, cost), plain) for cost in COSTS]
        lines.append(f"| {' | '.join([*cells, _instead(card, cards)])} |")
    return "\n".join(lines)


def _point(card: Card, drop: float) -> SplitFigures | None:
    """The cheapest operating point that may lose so much: one that saves no more is left out."""
    points = [
        point
        for point in card.operating_points
        if point.max_drop is not None and point.max_drop <= drop
    ]
    return points[-1].test if points else None


def _within(card: Card, cost: float) -> SplitFigures | None:
    """The most accurate one on calibration that spends so little there."""
    points = [point for point in card.operating_points if point.calibration.relative_cost <= cost]
    best = max(points, key=lambda point: point.calibration.accuracy, default=None)
    return None if best is None else best.test


def _cell(point: SplitFigures | None, plain: float) -> str:
    if point is None:
        return "–"
    return f"**{point.relative_cost:.1%}** ({100 * (point.accuracy - plain):+.2f})"


def _instead(card: Card, cards: Sequence[Card]) -> str:
    """What a plain network reaches with the compute of the matched operating point."""
    point = _point(card, MATCHED)
    if point is None:
        return "–"
    curve = size_curve(cards, card.dataset)
    accuracy = accuracy_by_size(curve, point.relative_cost * card.plain_macs)
    if accuracy is None:
        return "none so small"
    return f"{accuracy:.1%} ({100 * (accuracy - point.accuracy):+.1f})"


def models_table(cards: Sequence[Card]) -> str:
    """Return a Markdown table of all models: size, compute and accuracy per exit on test."""
    lines = [
        "| model | backbone | M MACs | parameters | accuracy at each exit | trained for |",
        "|---|---|---|---|---|---|",
    ]
    for card in cards:
        parameters = sum(card.stage_parameters) + sum(card.head_parameters)
        accuracies = " · ".join(f"{value:.1%}" for value in card.per_exit_accuracy["test"])
        training = card.training
        begun = f" after `{training.start_from}`" if training.start_from else ""
        lines.append(
            f"| `{card.name}` | {card.spec.backbone} | {card.plain_macs / 1e6:.2f} | "
            f"{parameters:,} | {accuracies} | {training.epochs} epochs{begun}, "
            f"{training.seconds / 60:.0f} min on {training.hardware} |"
        )
    return "\n".join(lines)


def with_results(text: str, cards: Sequence[Card]) -> str:
    """Return ``text`` with what stands between the two marks replaced by the current tables.

    Raises:
        UserError: the marks are missing.
    """
    return between(text, BEGIN, END, f"{results_table(cards)}\n\n{models_table(cards)}")


def between(text: str, begin: str, end: str, content: str) -> str:
    """Return ``text`` with what stands between two marks replaced by ``content``.

    Raises:
        UserError: a mark is missing.
    """
    if begin not in text or end not in text:
        raise UserError(f"expected the marks {begin} and {end} in the text, but they are missing.")
    before, rest = text.split(begin, 1)
    after = rest.split(end, 1)[1]
    return f"{before}{begin}\n{content}\n{end}{after}"


def update_results(path: Path, cards: Sequence[Card]) -> None:
    """Bring the tables in a Markdown file up to date."""
    rewrite(path, with_results(path.read_text(encoding="utf-8"), cards))


def rewrite(path: Path, text: str) -> None:
    """Write a text file, all or nothing."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
