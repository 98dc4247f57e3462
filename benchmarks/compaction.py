"""From which share on it pays to drop the images that left from a batch, on this device.

    python -m benchmarks.compaction [--models NAME ...] [--device cuda] [--cpu-time]

For each early exit by itself, with a threshold under which a share of the images leaves: the time
of a run that drops them, in units of the time of one that carries them along, in turns. Below 1,
dropping pays; a device's `Engine.compaction_share` is the least share for which it does.
"""

import argparse
import time
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import add_update, machine, publish
from core.data.splits import load_split
from core.deploy.benchmark import Clock, evenly_spaced, median_seconds_of_each
from core.exits.inference import BATCH_SIZE
from core.exits.policy import Policy
from core.foundation.markdown import markdown_table
from core.hub.model import PRECISIONS, Model, load

MODELS = ("eenet20-cifar10", "ptee-vgg11half-cifar10", "eenet-airbench-large-cifar10")
SHARES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
REPEATS = 9


def policies(model: Model, images: NDArray[np.uint8], exit_index: int) -> list[Policy]:
    """Return a policy for each share of the images that leaves at one exit, the only one on."""
    early = model.card.num_exits - 1
    enabled = tuple(index == exit_index for index in range(early))
    scores = np.sort(model.table(images).probabilities[:, exit_index].max(axis=1))[::-1]
    found = []
    for share in SHARES:
        count = max(round(share * len(scores)), 1)
        threshold = (float(scores[count - 1]) + float(scores[count])) / 2
        found.append(Policy("max_probability", (threshold,) * early, enabled))
    return found


def ratios(model: Model, images: NDArray[np.uint8], clock: Clock) -> list[list[float]]:
    """Return, by early exit and share, the time with dropping in units of that without."""
    by_share = [
        replace(model, engine=replace(model.engine, compaction_share=share)) for share in (0, 2)
    ]
    found = []
    for index in range(model.card.num_exits - 1):
        runs = [
            partial(one.predict, images, policy, len(images))
            for policy in policies(model, images, index)
            for one in by_share
        ]
        seconds = median_seconds_of_each(runs, REPEATS, clock)
        found.append([drop / carry for drop, carry in zip(*[iter(seconds)] * 2, strict=True)])
    return found


def main() -> None:
    """Measure, print, and bring the docs up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--cpu-time", action="store_true", help="of this process alone, on a busy machine"
    )
    add_update(parser)
    options = parser.parse_args()
    clock: Clock = time.process_time if options.cpu_time else time.perf_counter
    rows, every = [], []
    for name in options.models:
        built = load(name, options.device)
        test = load_split(built.card.dataset, "test").images
        images = evenly_spaced(test, BATCH_SIZE)
        for precision in PRECISIONS:
            found = ratios(built.optimised(precision), images, clock)
            every += found
            for index, by_share in enumerate(found):
                start = [f"`{name}`", precision, f"{index + 1}"]
                rows.append([*start, *(f"{ratio:.2f}" for ratio in by_share)])
                print(" ".join(rows[-1]), flush=True)
    rows.append(["median", "", "", *(f"{ratio:.2f}" for ratio in np.median(every, axis=0))])
    head = ["model", "precision", "exit", *(f"1/{round(1 / share)}" for share in SHARES)]
    what = "CPU time" if options.cpu_time else "wall time"
    how = f"{what}, {BATCH_SIZE} at once, medians of {REPEATS}"
    text = f"Measured on {machine(options.device)}: {how}."
    publish(f"{text}\n\n{markdown_table(head, rows)}", "compaction", options.update)


if __name__ == "__main__":
    main()
