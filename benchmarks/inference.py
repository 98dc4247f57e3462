"""How much time skipping and optimised networks save, against the plain network as it was built.

    python -m benchmarks.inference [--device cuda] [--update docs/speed.md]

For every early-exit model of a data set, in one run and in turns: the network as built and as
`Model.optimised` makes it, without early exits and with its default policy, at two batch sizes.
Time saved counts against the optimised network without early exits, MACs saved against the plain
network. Also what the other precision changes on the test images.
"""

import argparse
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.splits import load_split
from core.deploy.benchmark import evenly_spaced, median_seconds_of_each
from core.exits.inference import Prediction
from core.exits.policy import Policy
from core.foundation.markdown import markdown_table, replace_between
from core.hub.leaderboard import early_exit_cards
from core.hub.model import PRECISIONS, Model, load

BEGIN, END = "<!-- inference: begin -->", "<!-- inference: end -->"
BATCHES = (256, 1)
IMAGES = {256: 512, 1: 16}
"""How many images a run has, by batch size."""
REPEATS = 7


@dataclass(frozen=True)
class Times:
    """Median seconds of each run: as built, then by precision; without exits and with the policy.

    Attributes:
        batch: size of it.
        built: (2,) of the network as it was built.
        optimised: (2,) by precision.
        cost: mean relative cost of the policy on these images.
    """

    batch: int
    built: tuple[float, float]
    optimised: dict[str, tuple[float, float]]
    cost: float

    def saved(self, precision: str) -> float:
        """Time saved by skipping in units of the MACs saved."""
        plain, skipping = self.optimised[precision]
        return (1 - skipping / plain) / (1 - self.cost)


def times(model: Model, fast: dict[str, Model], images: NDArray[np.uint8], batch: int) -> Times:
    """Measure one model at one batch size."""
    chosen = evenly_spaced(images, IMAGES[batch])
    policy = model.card.default_policy
    never = Policy.never("max_probability", model.card.num_exits)
    runs = [
        lambda one=one, by=by: one.predict(chosen, by, batch)  # type: ignore[misc]
        for one in (model, *fast.values())
        for by in (never, policy)
    ]
    seconds = median_seconds_of_each(runs, REPEATS)
    pairs = list(zip(seconds[0::2], seconds[1::2], strict=True))
    cost = float(model.predict(chosen, policy, 256).costs.mean())
    return Times(batch, pairs[0], dict(zip(fast, pairs[1:], strict=True)), cost)


def row(name: str, found: Times) -> list[str]:
    """One line of the table."""
    count = IMAGES[found.batch]
    cells = [f"`{name}`", f"{found.batch}", f"{count / found.built[0]:,.0f}"]
    for precision, (plain, skipping) in found.optimised.items():
        cells.append(f"{found.built[0] / plain:.2f} ×")
        cells.append(f"{found.built[0] / skipping:.2f} ×")
        cells.append(f"{100 * found.saved(precision):.0f} %")
    return [*cells[:3], f"{1 - found.cost:.0%}", *cells[3:]]


def changes(built: Prediction, other: Prediction, labels: NDArray[np.int64]) -> list[str]:
    """What another precision changes: answers, exits, accuracy, cost."""
    accuracy = [float((one.labels == labels).mean()) for one in (built, other)]
    return [
        f"{np.count_nonzero(built.labels != other.labels):,}",
        f"{np.count_nonzero(built.exits != other.exits):,}",
        f"{100 * accuracy[0]:.2f} → {100 * accuracy[1]:.2f} %",
        f"{built.costs.mean():.3f} → {other.costs.mean():.3f}",
    ]


def main() -> None:
    """Measure, print, and bring the docs up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--update", type=Path, metavar="FILE")
    options = parser.parse_args()
    test = load_split(options.dataset, "test")
    speed, changed = [], []
    for card in early_exit_cards(options.dataset):
        model = load(card.name, options.device)
        fast = {precision: model.optimised(precision) for precision in PRECISIONS}
        for batch in BATCHES:
            speed.append(row(card.name, times(model, fast, test.images, batch)))
            print(" ".join(speed[-1]), flush=True)
        built = model.predict(test.images)
        for precision, one in fast.items():
            differences = changes(built, one.predict(test.images), test.labels)
            changed.append([f"`{card.name}`", precision, *differences])
            print(" ".join(changed[-1]), flush=True)
    head = ["model", "batch", "images/s, plain as built", "MACs saved"]
    for precision in PRECISIONS:
        head += [f"{precision}: plain", "with exits", "of the MACs saved, time saved"]
    machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    if options.device != "cpu":
        machine = torch.cuda.get_device_name(options.device)
    text = "\n\n".join(
        (
            f"Measured on {machine}, torch {torch.__version__}; median of {REPEATS} runs in turns.",
            markdown_table(head, speed),
            "On all test images with the default policy, against the network as built:",
            markdown_table(
                ["model", "precision", "other answers", "other exits", "accuracy", "cost"], changed
            ),
        )
    )
    if options.update is None:
        print(text)
    else:
        replace_between(options.update, BEGIN, END, text)


if __name__ == "__main__":
    main()
