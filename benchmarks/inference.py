"""How much time skipping, optimised networks and exported ones save, and what was aimed at.

    python -m benchmarks.inference [--quick] [--models NAME ...] [--device cuda]
                                   [--threads N] [--update docs/speed.md]

For each early-exit model, in one run and in turns: the network as built, and in every runtime and
precision, without early exits and with its default policy. All models (of CIFAR-10, unless some are
named) run in torch at a large batch; a few of them also one image at a time and exported, with what
`core export` reports. Time saved counts against the same runtime without early exits, MACs saved
against the plain network. Also what the other precision changes on the test images, and the
training loop, so that every target has its ratio. `--quick` takes fewer rounds and leaves out what
an export reports.
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.report import add_update, machine, publish
from benchmarks.training import turns
from core.data.splits import load_split
from core.deploy.benchmark import Latency, evenly_spaced, latencies, time_parts
from core.deploy.export import export
from core.deploy.runtimes import RUNTIMES, Runtime, configurations, opened
from core.exits.inference import Prediction
from core.exits.policy import Policy
from core.foundation.markdown import markdown_table
from core.hub.leaderboard import early_exit_cards
from core.hub.model import PRECISIONS, Model, load

EXPORTED = ("eenet20-cifar10", "eenet56-cifar10", "eenet-airbench-large-cifar10")
"""Models that also run one image at a time and in every runtime."""
LARGE = 256
BATCHES = {"cpu": (LARGE,), "cuda": (1, 64, LARGE, 1024, 4096)}
"""Batch sizes of the engine by device."""
RUNTIME_BATCHES = (1, 64, LARGE)
SAVED = 0.85
"""Time saved, in units of the MACs saved, that is aimed at."""


@dataclass(frozen=True)
class Measured:
    """Times of one model at one batch size: without early exits, and with its policy.

    Attributes:
        model: its name.
        batch: size of it.
        built: as the network was built, in torch.
        by: by runtime and precision.
        cost: mean relative cost of the policy on these images.
        by_stages: by precision, the time that skipping would save in torch if stages and heads took
            as long as each by itself, in units of the MACs saved. MACs are not time: narrow
            layers on large maps wait for memory.
    """

    model: str
    batch: int
    built: tuple[Latency, Latency]
    by: dict[tuple[str, str], tuple[Latency, Latency]]
    cost: float
    by_stages: dict[str, float]

    def times(self, runtime: str, precision: str, exits: bool = False) -> float:
        """How many times as fast as the plain network as built."""
        return self.built[0].per_image / self.by[runtime, precision][exits].per_image

    def saved(self, precision: str) -> float:
        """Time that skipping saves in torch, in units of the MACs saved; nan if it saves none."""
        plain, skipping = self.by["torch", precision]
        return in_macs_saved(1 - skipping.per_image / plain.per_image, self.cost)


def measured(
    model: Model,
    chosen: Sequence[tuple[Runtime, str]],
    images: NDArray[np.uint8],
    batches: Sequence[int],
    repeats: int,
) -> list[Measured]:
    """Measure one model at some batch sizes."""
    policy = model.card.default_policy
    never = Policy.never("max_probability", model.card.num_exits)
    threads = torch.get_num_threads()
    built = [lambda images, size, by=by: model.predict(images, by, size) for by in (never, policy)]
    found = []
    by_stages = saved_by_stages(model, images, repeats)
    with (
        opened(model, never, chosen, images, threads) as plain,
        opened(model, policy, chosen, images, threads) as skipping,
    ):
        for batch in batches:
            runs = [*built, *plain, *skipping]
            first, second, *rest = latencies(runs, images, batch, repeats)
            pairs = zip(rest[: len(chosen)], rest[len(chosen) :], strict=True)
            names = [(runtime.name, precision) for runtime, precision in chosen]
            cost = model.predict(evenly_spaced(images, first.images), policy).costs.mean()
            by = dict(zip(names, pairs, strict=True))
            found.append(Measured(model.name, batch, (first, second), by, float(cost), by_stages))
    return found


def saved_by_stages(model: Model, images: NDArray[np.uint8], repeats: int) -> dict[str, float]:
    """By precision, the saving of the default policy by the times of single stages and heads."""
    policy, some = model.card.default_policy, evenly_spaced(images, LARGE)
    found = model.predict(some, policy)
    inside = [float((found.exits >= index).mean()) for index in range(model.card.num_exits)]
    saved = {}
    for precision in PRECISIONS:
        fast = model.optimised(precision)
        parts = time_parts(fast, some, fast.engine.chunk or LARGE, repeats)
        on = (*policy.enabled, True)
        skipping = sum(
            share * (stage + head * used)
            for share, stage, head, used in zip(inside, parts.stages, parts.heads, on, strict=True)
        )
        plain = sum(parts.stages) + parts.heads[-1]
        saved[precision] = in_macs_saved(1 - skipping / plain, float(found.costs.mean()))
    return saved


def in_macs_saved(time_saved: float, cost: float) -> float:
    """Return a share of time in units of the MACs saved; nan where none are."""
    return time_saved / (1 - cost) if cost < 1 else math.nan


def engine_row(one: Measured) -> list[str]:
    """A line of the engine's table."""
    cells = [f"`{one.model}`", f"{one.batch}", f"{1 / one.built[0].per_image:,.0f}"]
    cells.append(f"{1 - one.cost:.0%}")
    for precision in PRECISIONS:
        cells += [f"{one.times('torch', precision, exits):.2f} ×" for exits in (False, True)]
        saved = f"{one.saved(precision):.0%} ({one.by_stages[precision]:.0%})"
        cells.append(saved if one.cost < 1 else "–")
    return cells


def runtime_rows(one: Measured) -> list[list[str]]:
    """A line of the runtimes' table for each of them."""

    def cells(latency: Latency) -> list[str]:
        p50, p95 = (1000 * latency.percentile(percent) for percent in (50, 95))
        times = f"{one.built[0].per_image / latency.per_image:.2f} ×"
        spread = f"{p50:.2f} · {p95:.2f}" if one.batch == 1 else "–"
        return [f"{1000 * latency.per_image:.3f}", times, spread]

    named = {"torch, as built": one.built}
    named |= {f"{RUNTIMES[name].title}, {by}": pair for (name, by), pair in one.by.items()}
    rows = []
    for title, (plain, skipping) in named.items():
        ratio = f"{skipping.per_image / plain.per_image:.0%} ({one.cost:.0%})"
        start = [f"`{one.model}`", f"{one.batch}", title]
        rows.append([*start, *cells(plain), *cells(skipping)[1:], ratio])
    return rows


def changes(built: Prediction, other: Prediction, labels: NDArray[np.int64]) -> list[str]:
    """What another precision changes: answers, exits, accuracy, cost."""
    accuracy = [float((one.labels == labels).mean()) for one in (built, other)]
    return [
        f"{np.count_nonzero(built.labels != other.labels):,}",
        f"{np.count_nonzero(built.exits != other.exits):,}",
        f"{100 * accuracy[0]:.2f} → {100 * accuracy[1]:.2f} %",
        f"{built.costs.mean():.3f} → {other.costs.mean():.3f}",
    ]


def exported(model: Model) -> tuple[list[list[str]], list[list[str]]]:
    """What an export reports: ways to run the network, and 8-bit integers."""
    splits = load_split(model.card.dataset, "calibration"), load_split(model.card.dataset, "test")
    policy, test = model.card.default_policy, splits[1].images
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        manifest = export(
            model, policy, Path(folder), test, whole=True, int8=splits, threads=threads
        )
    report = manifest["report"]
    name = f"`{model.name}`"
    by_size = report["by_batch_size"]
    ways = [
        [name, way.removesuffix(".onnx")]
        + [f"{sizes[way]['ms']:.3f}" if way in sizes else "–" for sizes in by_size.values()]
        for way in by_size["1"]
    ]
    int8 = report["int8"]
    milliseconds = int8["milliseconds_per_image"]
    quantised = []
    for key in ("float32", "int8", "int8_with_the_thresholds_of_float32"):
        if int8[key] is not None:
            figures = [int8[key][one] for one in ("accuracy", "relative_cost", "exits_changed")]
            times = [milliseconds[size].get(key) for size in milliseconds]
            quantised.append([name, key.replace("_", " "), *(f"{one:.2%}" for one in figures)])
            quantised[-1] += ["–" if one is None else f"{one:.3f}" for one in times]
    return ways, quantised


def target_row(what: str, least: float, ratios: Sequence[float]) -> list[str]:
    """A target, the ratios of all that was measured, and how many reach it."""
    ratios = [ratio for ratio in ratios if not math.isnan(ratio)]
    if not ratios:
        return [what, f"{least:.2f}", "not measured here", "–"]
    low, high = min(ratios), max(ratios)
    spread = f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"
    reached = sum(ratio >= least for ratio in ratios)
    return [what, f"{least:.2f}", spread, f"{reached} of {len(ratios)}"]


def target_rows(found: Sequence[Measured], device: str, training: list[float]) -> list[list[str]]:
    """Every target with its ratio."""
    on_gpu = device != "cpu"
    cpu = [] if on_gpu else list(found)
    gpu = list(found) if on_gpu else []
    large, one = ([each for each in cpu if each.batch == size] for size in (LARGE, 1))
    best = [
        max(each.times(*key) for key in each.by if RUNTIMES[key[0]].stage is not None)
        for each in one
    ]
    # A policy is no slower than the plain network of the same engine: with it the ratio is ≥ 1.
    kept = [
        each.by["torch", "float32"][0].per_image / each.by["torch", "float32"][1].per_image
        for each in gpu
        if each.batch >= 64
    ]
    single = [each for each in gpu if each.batch == 1]
    today = [e.built[1].per_image / e.by["torch", "float32"][1].per_image for e in single]
    largest = [each.saved("float32") for each in gpu if each.batch == max(BATCHES["cuda"])]
    place = "GPU" if on_gpu else "CPU"
    other = "CPU" if on_gpu else "GPU"
    return [
        *(
            target_row(f"CPU, {LARGE} at once: {by} against as built", least, times)
            for by, least in (("bfloat16", 2.2), ("float32", 1.25))
            for times in [[each.times("torch", by) for each in large]]
        ),
        target_row("CPU, one image: the best exported runtime against as built", 4, best),
        *(
            target_row(
                f"CPU, {LARGE} at once, {by}: time saved of MACs saved",
                SAVED,
                [each.saved(by) for each in large],
            )
            for by in PRECISIONS
        ),
        target_row("GPU, 64 and more at once: with the policy against plain", 1, kept),
        target_row("GPU, 4,096 at once: time saved of MACs saved", SAVED, largest),
        target_row("GPU, one image: with the policy against as built", 2, today),
        target_row(f"{place}: training against a plain torchvision loop", 2.5, training),
        target_row(f"{other}: training against a plain torchvision loop", 2.5, []),
    ]


def main() -> None:
    """Measure, print, and bring the docs up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", metavar="NAME", help="by default all of CIFAR-10")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no export's report")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, metavar="N")
    add_update(parser)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    cpu, repeats = options.device == "cpu", 3 if options.quick else 7
    engine = configurations(["torch"], list(PRECISIONS))
    every = configurations(list(RUNTIMES), list(PRECISIONS)) if cpu else engine
    found: list[Measured] = []
    changed, ways, quantised = [], [], []
    for name in options.models or [card.name for card in early_exit_cards("cifar10")]:
        model = load(name, options.device)
        test = load_split(model.card.dataset, "test")
        whole = cpu and (name in EXPORTED or bool(options.models))
        batches = RUNTIME_BATCHES if whole else BATCHES["cpu" if cpu else "cuda"]
        found += measured(model, every if whole else engine, test.images, batches, repeats)
        built = model.predict(test.images)
        for precision in PRECISIONS:
            other = model.optimised(precision).predict(test.images)
            changed.append([f"`{name}`", precision, *changes(built, other, test.labels)])
        if whole and not options.quick:
            rows = exported(model)
            ways += rows[0]
            quantised += rows[1]
        print(f"{name} done", flush=True)
    images = 1280 if options.quick else 3840
    training = turns("resnet20", images, torch.device(options.device), repeats)
    ratio = statistics.median(ours / theirs for ours, theirs in training)

    head = ["model", "batch", "images/s, plain as built", "MACs saved"]
    for precision in PRECISIONS:
        head += [
            f"{precision}: plain",
            "with exits",
            "of the MACs saved, time saved (by single stages)",
        ]
    shown = [each for each in found if not cpu or each.batch == LARGE]
    parts = [
        f"Measured on {machine(options.device)}; medians of {repeats} rounds in turns.",
        "What was aimed at; of several models the median ratio, the lowest and the highest:",
        markdown_table(
            ["", "at least", "measured", "reached by"], target_rows(found, options.device, [ratio])
        ),
        "The engine:",
        markdown_table(head, map(engine_row, shown)),
        "On all test images with the default policy, against the network as built:",
        markdown_table(
            ["model", "precision", "other answers", "other exits", "accuracy", "cost"], changed
        ),
    ]
    exported_ones = [each for each in found if len(each.by) == len(every) > len(engine)]
    if exported_ones:
        plain = ["plain, ms per image", "against torch as built", "p50 · p95, ms"]
        exits = ["with exits", "p50 · p95, ms", "time of plain (MACs)"]
        parts += [
            "By runtime:",
            markdown_table(
                ["model", "batch", "runtime", *plain, *exits],
                [row for each in exported_ones for row in runtime_rows(each)],
            ),
        ]
    if ways:
        of_batches = [f"batch {size}, ms per image" for size in (1, 64)]
        heads = ["model", "stages", "accuracy", "cost", "other exits", *of_batches]
        parts += [
            "The ways to run a bundle with ONNX Runtime in float32:",
            markdown_table(["model", "way", *of_batches], ways),
            "8-bit integers, on all test images:",
            markdown_table(heads, quantised),
        ]
    publish("\n\n".join(parts), "inference", options.update)


if __name__ == "__main__":
    main()
