"""The command that compares all methods on one data set; part of `core.cli.main`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.options import DataRoot, Device, Json, Threads, use_threads
from core.cli.text import note, to_json
from core.hub.card import Card
from core.hub.leaderboard import BUDGETS, DROPS, Figures, Standing, rivals, standings
from core.hub.methods import title_of
from core.hub.results import between, rewrite

if TYPE_CHECKING:
    from core.deploy.benchmark import Race

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
    """Compare the methods: chosen on calibration, reported on test."""
    cards = rivals(dataset)
    found = standings(cards)
    timed: dict[str, Race] = {}
    if time:
        use_threads(threads)
        timed = race_all(cards, found, data, device)
    text = methods_text(cards, found, timed)
    if update is not None:
        content = between(update.read_text(encoding="utf-8"), BEGIN, END, text)
        rewrite(update, content)
        note(f"The table in {update} is up to date.")
    if as_json:
        rows = [one.to_dict() | seconds(timed.get(one.name)) for one in found]
        return to_json({"dataset": dataset, "methods": rows})
    return text


def methods_text(cards: Sequence[Card], found: Sequence[Standing], timed: "dict[str, Race]") -> str:
    """Return the comparison as two Markdown tables, which can be read as they are, too."""
    pairs = sorted(zip(cards, found, strict=True), key=lambda pair: pair[1].plain)
    head = [
        "| method | model | decides by |",
        *(f" at most {budget:.0%} |" for budget in BUDGETS),
        *(f" {100 * drop:g} point{'' if drop == 0.01 else 's'} |" for drop in DROPS),
    ]
    if timed:
        head.append(f" time at {TIMED_BUDGET:.0%} |")
    lines = ["".join(head), "|" + "---|" * (len(head) + 2)]
    for card, one in pairs:
        cells = [title_of(one.method)]
        cells += [f"`{one.name}`", one.criterion]
        cells += [accuracy_and_cost(one.within_budget[budget]) for budget in BUDGETS]
        cells += [cost_and_accuracy(one.within_drop[drop]) for drop in DROPS]
        if timed:
            race = timed.get(card.name)
            cells.append("–" if race is None else f"{race.ratio:.0%}")
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| model | accuracy at each exit | agrees with its last exit | AUROC of its own score |"
        " trained for |",
        "|---|---|---|---|---|",
    ]
    for card, one in pairs:
        cells = [f"`{one.name}`"]
        cells.append(" · ".join(f"{value:.1%}" for value in one.exit_accuracy))
        cells.append(" · ".join(f"{value:.1%}" for value in one.exit_agreement))
        cells.append(" · ".join(f"{value:.3f}" for value in one.auroc[:-1]))
        cells.append(f"{card.training.epochs} epochs, {card.training.seconds / 60:.0f} min")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def accuracy_and_cost(figures: Figures | None) -> str:
    """Return "90.1% (at 59.8%)": what counts first."""
    return "–" if figures is None else f"{figures.accuracy:.1%} (at {figures.relative_cost:.1%})"


def cost_and_accuracy(figures: Figures | None) -> str:
    """Return "59.8% (90.1%)": what counts first."""
    return "–" if figures is None else f"{figures.relative_cost:.1%} ({figures.accuracy:.1%})"


def race_all(
    cards: Sequence[Card], found: Sequence[Standing], data: Path | None, device: str
) -> "dict[str, Race]":
    """Time each model at `TIMED_BUDGET` against its plain network, in turns."""
    from tqdm import tqdm

    from core.data.splits import load_split
    from core.deploy.benchmark import race
    from core.hub.model import load

    races = {}
    for card, one in tqdm(list(zip(cards, found, strict=True)), desc="models", disable=None):
        policy = one.policies[TIMED_BUDGET]
        if policy is None:
            continue
        model, plain = load(card.name, device), load(one.plain, device)
        images = load_split(card.dataset, "test", data).images
        entries = [(plain, plain.card.default_policy), (model, policy)]
        races[card.name] = race(entries, images, BATCH_SIZE)
    return races


def seconds(race: "Race | None") -> dict[str, float]:
    """Return what a race measured, for JSON."""
    if race is None:
        return {}
    return {
        "plain_ms": 1000 * race.seconds[0],
        "early_exit_ms": 1000 * race.seconds[1],
        "time_ratio": race.ratio,
    }
