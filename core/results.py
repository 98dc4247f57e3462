"""The table of results, made from the models' cards and from nothing else."""

from collections.abc import Sequence
from pathlib import Path

from core.card import Card, OperatingPoint
from core.errors import UserError
from core.files import atomic_path

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
SHOWN = ("lossless", "balanced", "fast")


def results_table(cards: Sequence[Card]) -> str:
    """Return a Markdown table of early-exit models beside their plain networks, on test.

    One row per operating point that is `SHOWN`: chosen on calibration, reported on test. EENet
    first, which this project is about.
    """
    lines = [
        "| model | operating point | accuracy | plain network | difference | relative cost |"
        " leave at exit |",
        "|---|---|---|---|---|---|---|",
    ]
    for card in sorted(cards, key=lambda card: card.method != "eenet"):
        points = [point for point in card.operating_points if point.name in SHOWN]
        for number, point in enumerate(points):
            lines.append(_row(card, point, first=number == 0))
        if not points and card.num_exits > 1:
            lines.append(_whole(card))
    return "\n".join(lines)


def _row(card: Card, point: OperatingPoint, first: bool) -> str:
    shares = " · ".join(f"{share:.1%}" for share in point.test.exit_share)
    return _cells(
        f"`{card.name}`" if first else "",
        f"{point.name} (≤ {point.max_drop * 100:g} points)",
        card,
        point.test.accuracy,
        f"**{point.test.relative_cost:.1%}**",
        shares,
    )


def _whole(card: Card) -> str:
    """A row for a model that comes near its plain network nowhere: run to its end."""
    accuracy = card.per_exit_accuracy["test"][-1]
    return _cells(f"`{card.name}`", "never early (out of reach)", card, accuracy, "100.0%", "–")


def _cells(name: str, point: str, card: Card, accuracy: float, cost: str, shares: str) -> str:
    plain = difference = "–"
    if card.plain is not None:
        plain = f"{card.plain.test_accuracy:.2%}"
        difference = f"{(accuracy - card.plain.test_accuracy) * 100:+.2f} points"
    return f"| {' | '.join([name, point, f'{accuracy:.2%}', plain, difference, cost, shares])} |"


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
        lines.append(
            f"| `{card.name}` | {card.spec.backbone} | {card.plain_macs / 1e6:.2f} | "
            f"{parameters:,} | {accuracies} | {training.epochs} epochs, "
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
