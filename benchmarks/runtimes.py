"""How fast exported networks are, by runtime, against the plain network as torch runs it.

    python -m benchmarks.runtimes [--models NAME ...] [--threads N] [--update docs/speed.md]

For each model, in one run and in turns: the plain network as built and run by torch, and every
installed runtime and precision without early exits and with the model's default policy, at several
batch sizes. Then what `core export` reports: the network in one file, and 8-bit integers with
thresholds tuned again, on the test split.
"""

import argparse
import platform
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.splits import load_split
from core.deploy.benchmark import Latency, evenly_spaced, latencies
from core.deploy.export import export
from core.deploy.runtimes import RUNTIMES, Run, configurations, opened
from core.exits.policy import Policy
from core.foundation.markdown import markdown_table, replace_between
from core.hub.model import Model, load

BEGIN, END = "<!-- runtimes: begin -->", "<!-- runtimes: end -->"
MODELS = ("eenet20-cifar10", "eenet56-cifar10", "eenet-airbench-large-cifar10")
BATCHES = (1, 64, 256)
PRECISIONS = ("float32", "bfloat16")


def as_built(model: Model) -> Run:
    """The plain network, run by torch as it was built."""
    never = Policy.never("max_probability", model.card.num_exits)
    return lambda images, batch_size: model.predict(images, never, batch_size)


def speed(model: Model, images: NDArray[np.uint8], threads: int) -> list[list[str]]:
    """A line per batch size and runtime."""
    chosen = configurations(list(RUNTIMES), PRECISIONS)
    policy = model.card.default_policy
    never = Policy.never("max_probability", model.card.num_exits)
    rows = []
    with (
        opened(model, never, chosen, images, threads) as plain,
        opened(model, policy, chosen, images, threads) as skipping,
    ):
        for batch in BATCHES:
            runs = [as_built(model), *plain, *skipping]
            built, *times = latencies(runs, images, batch)
            cost = model.predict(evenly_spaced(images, built.images), policy).costs.mean()
            halves = zip(times[: len(chosen)], times[len(chosen) :], strict=True)
            rows.append([f"`{model.name}`", f"{batch}", "torch, as built", *cells(built, built)])
            rows[-1] += ["–", "–", "–"]
            for (runtime, precision), (whole, exits) in zip(chosen, halves, strict=True):
                ratio = exits.per_image / whole.per_image
                names = [f"`{model.name}`", f"{batch}", f"{runtime.title}, {precision}"]
                rows.append([*names, *cells(whole, built), *cells(exits, built)[1:]])
                rows[-1].append(f"{ratio:.0%} ({cost:.0%})")
    return rows


def cells(one: Latency, built: Latency) -> list[str]:
    """Milliseconds, how many times as fast as built, percentiles of single images."""
    p50, p95 = (1000 * one.percentile(percent) for percent in (50, 95))
    times = f"{built.per_image / one.per_image:.2f} ×"
    one_by_one = len(one.batches) == one.images
    spread = f"{p50:.2f} · {p95:.2f}" if one_by_one else "–"
    return [f"{1000 * one.per_image:.3f}", times, spread]


def reports(model: Model, threads: int) -> tuple[list[list[str]], list[list[str]]]:
    """What an export reports: ways to run the network, and 8-bit integers."""
    splits = load_split(model.card.dataset, "calibration"), load_split(model.card.dataset, "test")
    policy, test = model.card.default_policy, splits[1].images
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


def main() -> None:
    """Measure, print, and bring the docs up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--update", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    times, ways, quantised = [], [], []
    for name in options.models:
        model = load(name)
        times += speed(model, load_split(model.card.dataset, "test").images, options.threads)
        found = reports(model, options.threads)
        ways += found[0]
        quantised += found[1]
        print(f"{name} done", flush=True)
    machine = f"{platform.processor() or platform.machine()}, {options.threads} threads"
    exits = ["with exits", "p50 · p95, ms", "time of plain (MACs)"]
    head = ["model", "batch", "runtime", "plain, ms per image", "against torch as built"]
    of_batches = [f"batch {size}, ms per image" for size in (1, 64)]
    text = "\n\n".join(
        (
            f"Measured on {machine}, torch {torch.__version__}, in turns.",
            markdown_table([*head, "p50 · p95, ms", *exits], times),
            "The ways to run a bundle with ONNX Runtime in float32:",
            markdown_table(["model", "way", *of_batches], ways),
            "8-bit integers, on all test images:",
            markdown_table(
                ["model", "stages", "accuracy", "cost", "other exits", *of_batches], quantised
            ),
        )
    )
    if options.update is None:
        print(text)
    else:
        replace_between(options.update, BEGIN, END, text)


if __name__ == "__main__":
    main()
