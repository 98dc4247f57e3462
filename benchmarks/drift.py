"""Tables of corrupted test images for models that ship, and what drift does to a fixed policy.

    python -m benchmarks.drift [--tables] [--update docs/results.md] [--data ROOT]

With --tables, the models' files `drift.npz` are made anew: the networks run on every tenth test
image of the prepared data sets, under each corruption and severity below. The test images chose
nothing; MNIST's samples that ship would not do, as they are the calibration split. Without it, the
files are read. Printed, and put into a file: accuracy and cost of a fixed policy, and of the
controller that holds the cost, from the first corrupted image on; its cost once more over the
second half of the images.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.report import add_update, publish
from core.analysis.corruptions import CORRUPTIONS
from core.analysis.drift import Drifted, Outcome, UnderDrift, under_drift
from core.data.prepared import load_prepared
from core.exits.cost_controller import HeldCost
from core.exits.policy import Policy
from core.exits.table import IntArray
from core.foundation.markdown import markdown_table
from core.hub.card import Card
from core.hub.drift import corrupted_tables, load_drift, save_drift
from core.hub.methods import own_criterion
from core.hub.model import load
from core.hub.registry import card_of, front_of, model_folder, shipped_table
from core.tuning.front import best_within_cost

SHIPPED = {
    "eenet8-mnist": {
        "noise": (0.2, 0.3, 0.5),
        "blur": (0.3, 0.4, 0.5),
        "contrast": (0.3, 0.4, 0.5),
    },
    "eenet20-cifar10": {
        "noise": (0.05, 0.1, 0.2),
        "blur": (0.1, 0.2, 0.3),
        "contrast": (0.3, 0.5, 0.75),
    },
}
"""Severities of corruptions by model: from one that is felt to one where few answers are right."""
EVERY = 10
"""One in so many test images: an accuracy of 1,000 is known to within 3 points."""
COSTS = {"eenet8-mnist": 0.1, "eenet20-cifar10": 0.65}
HEADS = (
    *("model", "images", "plain network", "fixed: accuracy", "cost"),
    *("held: accuracy", "cost", "second half"),
)


def shipped_rows(samples: int) -> IntArray:
    """Return the positions of the test images whose tables ship."""
    return np.arange(0, samples, EVERY)


def make_tables(name: str, root: Path | None = None) -> dict[tuple[str, float], Drifted]:
    """Run a model on its corrupted test images; see `SHIPPED`."""
    return {
        (corruption, severity): make_table(name, corruption, severity, root)
        for corruption, severities in SHIPPED[name].items()
        for severity in severities
    }


def make_table(name: str, corruption: str, severity: float, root: Path | None = None) -> Drifted:
    """Run a model on its test images under one corruption."""
    model = load(name)
    assert model.card.plain is not None
    rows = shipped_rows(len(shipped_table(name, "test")))
    clean = shipped_table(name, "test").select(rows)
    images = load_prepared(model.card.dataset, "test", root).images[clean.ids]
    return corrupted_tables(model, load(model.card.plain.name), images, clean, corruption, severity)


def policy_of(name: str, card: Card) -> Policy:
    """Return the fixed policy: the most accurate within `COSTS`, by the method's own score."""
    calibration = shipped_table(name, "calibration")
    criterion = own_criterion(card.method, card.criteria)
    return best_within_cost([front_of(name, calibration, criterion)], COSTS[name])


def measured(name: str) -> list[tuple[str, UnderDrift]]:
    """Return what drift does to a model: a title and the figures for each corruption."""
    card, folder = card_of(name), model_folder(name)
    cost = HeldCost.of(shipped_table(name, "calibration"), policy_of(name, card))
    shipped = load_drift(folder, card, shipped_table(name, "test"))
    clean = next(iter(shipped.values()))[0.0]
    rows = [("clean", under_drift(clean, clean, cost))]
    for corruption, tables in shipped.items():
        title = CORRUPTIONS[corruption].title.lower()
        for severity, drifted in sorted(tables.items()):
            if severity:
                found = under_drift(clean, drifted, cost)
                rows.append((f"{title} {severity:.0%}", found))
    return rows


def main() -> None:
    """Make the tables if wanted; print what drift does."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", action="store_true", help="make the models' tables anew")
    add_update(parser)
    parser.add_argument("--data", type=Path, metavar="ROOT", help="folder of prepared data sets")
    options = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    for name in SHIPPED:
        if options.tables:
            samples = shipped_rows(len(shipped_table(name, "test")))
            tables = make_tables(name, options.data)
            save_drift(model_folder(name), card_of(name), samples, tables)
        rows += [_row(name, title, found) for title, found in measured(name)]
    publish(markdown_table(HEADS, rows), "drift", options.update)


def _row(name: str, title: str, found: UnderDrift) -> tuple[str, ...]:
    def figures(outcome: Outcome) -> tuple[str, str]:
        return (
            f"{outcome.accuracy:.1%} ({100 * outcome.difference:+.1f})",
            f"{outcome.relative_cost:.1%}",
        )

    plain = f"{found.reference_accuracy:.1%}"
    held = (*figures(found.held), f"{found.settled_cost:.1%}")
    return f"`{name}`", title, plain, *figures(found.fixed), *held


if __name__ == "__main__":
    main()
