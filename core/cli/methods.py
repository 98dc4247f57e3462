"""The command that compares all methods on one data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.options import DataRoot, Device, Json, Threads, use_threads
from core.cli.text import note, percents, to_json
from core.foundation.markdown import markdown_table, replace_between
from core.hub.card import Card
from core.hub.leaderboard import BUDGETS, DROPS, Entry, Figures, early_exit_cards, leaderboard
from core.hub.methods import title_of

if TYPE_CHECKING:
    from core.deploy.benchmark import Timing

BEGIN, END = "<!-- methods: begin -->", "<!-- methods: end -->"
TIMED_BUDGET = 0.7
BATCH_SIZE = 256


def methods(
    dataset: Annotated[str, typer.Argument(metavar="DATASET")] = "cifar10",
    time: Annotated[
        bool, typer.Option("--time", help=f"Also run all of them at a cost of {TIMED_BUDGET}.")
    ] = False,
    update: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also bring a Markdown file's table up.")
    ] = None,
    data: DataRoot = None,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> str:
    """Compare the methods: thresholds chosen on calibration, results on test."""
    cards = early_exit_cards(dataset)
    results = leaderboard(cards)
    timings: dict[str, Timing] = {}
    if time:
        use_threads(threads)
        timings = time_all(cards, results, data, device)
    text = methods_text(cards, results, timings)
    if update is not None:
        replace_between(update, BEGIN, END, text)
        note(f"The table in {update} is up to date.")
    if as_json:
        times = {name: timing.to_dict() for name, timing in timings.items()}
        rows = [row.to_dict() | times.get(row.name, {}) for row in results]
        return to_json({"dataset": dataset, "methods": rows})
    return text


def methods_text(
    cards: Sequence[Card], results: Sequence[Entry], timings: "Mapping[str, Timing]"
) -> str:
    """Return the comparison as two Markdown tables."""
    pairs = sorted(zip(cards, results, strict=True), key=lambda pair: pair[1].plain)
    head = ["method", "model", "decides by", *(f"at most {budget:.0%}" for budget in BUDGETS)]
    head += [f"{100 * drop:g} point{'' if drop == 0.01 else 's'}" for drop in DROPS]
    if timings:
        head.append(f"time at {TIMED_BUDGET:.0%}")
    details = ["model", "accuracy at each exit", "agrees with its last exit"]
    details += ["AUROC of its own score", "trained for"]
    rows, detail_rows = [], []
    for card, result in pairs:
        cells = [title_of(result.method), f"`{result.name}`", result.criterion]
        cells += [accuracy_and_cost(result.within_budget[budget]) for budget in BUDGETS]
        cells += [cost_and_accuracy(result.within_drop[drop]) for drop in DROPS]
        if timings:
            timing = timings.get(card.name)
            cells.append("–" if timing is None else f"{timing.ratio:.0%}")
        rows.append(cells)
        detail_rows.append(
            [
                f"`{result.name}`",
                percents(result.exit_accuracy),
                percents(result.exit_agreement),
                " · ".join(f"{value:.3f}" for value in result.auroc[:-1]),
                trained_for(card),
            ]
        )
    return f"{markdown_table(head, rows)}\n\n{markdown_table(details, detail_rows)}"


def trained_for(card: Card) -> str:
    """Return epochs and minutes of the training of the weights, if known."""
    training = card.training
    return f"{training.epochs} epochs, {training.seconds / 60:.0f} min" if training else "–"


def accuracy_and_cost(figures: Figures | None) -> str:
    """Return accuracy and relative cost: "90.1% (at 59.8%)"."""
    return "–" if figures is None else f"{figures.accuracy:.1%} (at {figures.relative_cost:.1%})"


def cost_and_accuracy(figures: Figures | None) -> str:
    """Return relative cost and accuracy: "59.8% (90.1%)"."""
    return "–" if figures is None else f"{figures.relative_cost:.1%} ({figures.accuracy:.1%})"


def time_all(
    cards: Sequence[Card], results: Sequence[Entry], data: Path | None, device: str
) -> "dict[str, Timing]":
    """Time each model at `TIMED_BUDGET` against its plain network, in turns."""
    from tqdm import tqdm

    from core.data.encoded import at_size
    from core.data.splits import load_split
    from core.deploy.benchmark import time_models
    from core.hub.model import load

    timings = {}
    for card, result in tqdm(list(zip(cards, results, strict=True)), desc="models", disable=None):
        policy = result.policies[TIMED_BUDGET]
        if policy is None:
            continue
        model, plain = load(card.name, device), load(result.plain, device)
        images = at_size(load_split(card.dataset, "test", data), card.evaluation_transform).images
        entries = [(plain, plain.card.default_policy), (model, policy)]
        timings[card.name] = time_models(entries, images, BATCH_SIZE)
    return timings
