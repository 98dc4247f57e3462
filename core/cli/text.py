"""Output of the command line: aligned text for people, JSON for programs."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.exits.cost_controller import Stream
from core.exits.policy import Policy
from core.exits.report import Report
from core.hub.card import Card, SplitFigures
from core.tuning.calibration import ProbabilityQuality
from core.tuning.how_many import HowMany

_WIDEST = 10_000  # columns; a table is as wide as it needs to be


def models_text(cards: Mapping[str, Card]) -> str:
    """Return the list of models by name as text."""
    rows = [("model", "title", "data set", "M MACs", "accuracy at each exit", "policy", "cost")]
    for name, card in cards.items():
        facts = model_facts(name, card)
        accuracy, cost = facts["accuracy"], facts["relative_cost"]
        rows.append(
            (
                name,
                card.title,
                card.dataset,
                f"{card.plain_macs / 1e6:.2f}",
                percents(card.per_exit_accuracy.get("test", ())) or "–",
                "–" if accuracy is None else f"{accuracy:.2%}",
                "–" if cost is None else f"{cost:.1%}",
            )
        )
    return table_text(rows) + (
        "\n\nOn the test split. `policy` is the accuracy with the model's own policy, `cost` its\n"
        "multiply-accumulates in units of the plain network."
    )


def answers_text(answers: Sequence[dict[str, Any]], card: Card) -> str:
    """Return the answers to images as text."""
    rows = [("image", "answer", "probability", "exit", "relative cost")]
    for row in answers:
        place = f"{row['exit_index'] + 1} of {card.num_exits} ({row['exit_name']})"
        probability, cost = f"{row['probability']:.1%}", f"{row['relative_cost']:.1%}"
        rows.append((row["image"], row["answer"], probability, place, cost))
    return table_text(rows)


def evaluation_text(figures: dict[str, Any], card: Card, policy: Policy) -> str:
    """Return an evaluation as text."""
    source = "really run" if figures["source"] == "network" else "from the shipped table"
    rows = [
        ("policy", describe_policy(policy, card)),
        ("accuracy", f"{figures['accuracy']:.2%}"),
        ("relative cost", f"{figures['relative_cost']:.1%}"),
    ]
    if figures["plain_accuracy"] is not None:
        rows.insert(2, ("plain network", f"{figures['plain_accuracy']:.2%}"))
    if figures["seconds"] is not None:
        speed = f"{figures['images_per_second']:,.0f} images per second on {figures['device']}"
        rows.append(("time", f"{figures['seconds']:.2f} s, {speed}"))
    shares = [("exit", "leave here", "accuracy if all stopped here", "agrees with the last exit")]
    for name, share, accuracy, agreement in zip(
        card.exit_names,
        figures["exit_share"],
        figures["per_exit_accuracy"],
        figures["per_exit_agreement"],
        strict=True,
    ):
        shares.append((name, f"{share:.1%}", f"{accuracy:.2%}", f"{agreement:.2%}"))
    head = f"{card.name} on {figures['split']}: {figures['samples']:,} images, {source}"
    return f"{head}\n{table_text(rows)}\n\n{table_text(shares)}"


def model_facts(name: str, card: Card) -> dict[str, Any]:
    """Return a model's entry in the list of models, with figures on the test split."""
    point = card.default_point
    per_exit_accuracy = card.per_exit_accuracy.get("test")
    accuracy, cost = None, None
    if point is None:  # the default policy has all early exits off
        accuracy, cost = per_exit_accuracy and per_exit_accuracy[-1], 1.0
    elif point.test is not None:
        accuracy, cost = point.test.accuracy, point.test.relative_cost
    return {
        "name": name,
        "title": card.title,
        "method": card.method,
        "backbone": card.spec.backbone,
        "dataset": card.dataset,
        "exits": card.exit_names,
        "macs": card.plain_macs,
        "parameters": card.all_parameters,
        "per_exit_accuracy": per_exit_accuracy,
        "plain_accuracy": plain_accuracy(card, "test"),
        "policy": card.default_policy.to_dict(),
        "accuracy": accuracy,
        "relative_cost": cost,
    }


def plain_accuracy(card: Card, split: str) -> float | None:
    """Return the plain network's accuracy; None where the model has no plain counterpart."""
    known = card.plain or (card.num_exits == 1 and split in card.per_exit_accuracy)
    return card.reference_accuracy(split) if known else None


def brief(report: Report | Stream) -> dict[str, Any]:
    """Return a report's accuracy, cost and shares."""
    return {
        "accuracy": report.accuracy,
        "relative_cost": report.relative_cost,
        "exit_share": report.exit_share,
    }


def describe_policy(policy: Policy, card: Card) -> str:
    """Return a policy in words: ``confidence: block1 > 0.9, block2 off``."""
    exits = [
        f"{name} > {threshold:.4g}" if enabled else f"{name} off"
        for name, threshold, enabled in zip(
            card.exit_names[:-1], policy.thresholds, policy.enabled, strict=True
        )
    ]
    return f"{policy.criterion}: {', '.join(exits)}" if exits else "no early exits"


def tuned_rows(card: Card, figures: Mapping[str, SplitFigures]) -> list[Sequence[str]]:
    """Return a heading and a row per split: figures of a policy beside the plain network's."""
    rows: list[Sequence[str]] = [
        ("split", "accuracy", "plain network", "difference", "relative cost", "leave at each exit")
    ]
    for name, one in figures.items():
        plain = plain_accuracy(card, name)
        accuracy, difference = f"{one.accuracy:.2%}", "–"
        if plain is not None:
            difference = f"{100 * (one.accuracy - plain):+.2f}"
        if one.accuracy_interval is not None:
            accuracy += f" ({_range(one.accuracy_interval, '.2f')})"
        if one.difference_interval is not None:
            difference += f" ({_range(one.difference_interval, '+.2f')})"
        rows.append(
            (
                name,
                accuracy,
                "–" if plain is None else f"{plain:.2%}",
                difference,
                f"{one.relative_cost:.1%}",
                percents(one.exit_share),
            )
        )
    return rows


def quality_rows(
    names: Sequence[str],
    temperatures: Sequence[float],
    before: ProbabilityQuality,
    after: ProbabilityQuality,
) -> list[Sequence[str]]:
    """Return a heading and a row per exit: its temperature, and what it does to probabilities."""
    columns = (
        names,
        (f"{one:.3f}" for one in temperatures),
        (f"{one:.4f}" for one in before.negative_log_likelihood),
        (f"{one:.4f}" for one in after.negative_log_likelihood),
        (f"{one:.2%}" for one in before.calibration_error),
        (f"{one:.2%}" for one in after.calibration_error),
    )
    likelihood, error = "negative log-likelihood", "calibration error"
    head = ("exit", "temperature", likelihood, "calibrated", error, "calibrated")
    return [head, *zip(*columns, strict=True)]


def _range(interval: tuple[float, float], form: str) -> str:
    return " to ".join(f"{100 * limit:{form}}" for limit in interval)


def needed_text(found: HowMany) -> str:
    """Return what calibration splits of several sizes are likely to prove."""
    rows = [("calibration images", "chance of a proof", "relative cost")]
    rows += [
        (f"{samples:,}", f"{chance:.0%}", "–" if cost is None else f"{cost:.1%}")
        for samples, chance, cost in zip(
            found.samples, found.chance, found.relative_cost, strict=True
        )
    ]
    return f"{table_text(rows)}\n\n{found.sentence}"


def percents(values: Sequence[float]) -> str:
    """Return shares side by side: ``98.6% · 99.0%``."""
    return " · ".join(f"{value:.1%}" for value in values)


def table_text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in aligned columns, never cut off."""
    grid = Table.grid(*rows[0], padding=(0, 2))
    for column in grid.columns:
        column.no_wrap = True
    for row in rows:
        grid.add_row(*map(Text, row))  # a Text, as brackets in a file's name are no markup
    console = Console(width=_WIDEST, color_system=None)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def to_json(value: dict[str, Any]) -> str:
    """Return one JSON object; undefined and infinite numbers become null."""

    def finite(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: finite(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [finite(inner) for inner in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    return json.dumps(finite(value), indent=2, allow_nan=False)


def note(text: str) -> None:
    """Print a note on stderr."""
    typer.echo(text, err=True)
