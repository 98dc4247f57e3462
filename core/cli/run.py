"""The commands that run a network: predict, evaluate and bench."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from core.cli.options import (
    DataRoot,
    Device,
    Json,
    ModelName,
    SkipBroken,
    Threads,
    use_threads,
)
from core.cli.policy import (
    CriterionName,
    HoldCost,
    PolicyFile,
    Thresholds,
    choose_held_cost,
    choose_policy,
    comma_separated,
)
from core.cli.text import (
    answers_text,
    brief,
    describe_policy,
    evaluation_text,
    note,
    plain_accuracy,
    table_text,
    to_json,
)
from core.exits.cost_controller import CostController, HeldCost, route_stream
from core.exits.report import evaluate as report_of
from core.foundation.errors import UserError, nearest
from core.foundation.files import check_writable
from core.hub.card import Card
from core.hub.registry import card_of, shipped_table

if TYPE_CHECKING:
    from core.exits.policy import Policy
    from core.exits.table import ExitTable

PART = 16_384
"""Images whose class probabilities are in memory at once."""


def predict(
    model: ModelName,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    policy: PolicyFile = None,
    criterion: CriterionName = None,
    thresholds: Thresholds = None,
    hold_cost: HoldCost = None,
    skip_broken: SkipBroken = False,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> str:
    """Classify images, without the stages after each image's exit."""
    from core.data.images import open_image, with_reasons

    card = card_of(model)
    held, chosen = _chosen(model, card, policy, criterion, thresholds, hold_cost)
    pixels, notes, intact, broken = [], [], [], {}
    for path in images:
        try:
            opened = open_image(path)
        except UserError as error:
            broken[str(path)] = str(error)
            continue
        intact.append(path)
        pixels.append(card.evaluation_transform.pixels(opened.image))
        notes += [f"{path}: {sentence}" for sentence in opened.notes]
    if broken and not (skip_broken and intact):
        if len(images) == 1:
            raise UserError(broken[str(images[0])])
        raise UserError(
            f"expected all {len(images):,} images to be intact, but {len(broken):,} are not: "
            f"{with_reasons(broken)}; replace them, or go on without them by `--skip-broken`."
        )
    if broken:
        note(f"Left out, as they cannot be read: {with_reasons(broken)}.")
    for sentence in notes:
        note(sentence)

    from core.hub.likeness import hints
    from core.hub.model import load

    use_threads(threads)
    runs_with = chosen if held is None else held.start()
    loaded = load(model, device).optimised()
    result = loaded.predict(np.stack(pixels), runs_with)
    for path, hint in zip(intact, hints(loaded, pixels), strict=True):
        if hint:
            note(f"{path}: {hint}")
    answers = [
        {
            "image": str(path),
            "answer": card.classes[label],
            "label": int(label),
            "probability": float(probabilities[label]),
            "exit_index": int(exit_index),
            "exit_name": card.exit_names[exit_index],
            "relative_cost": float(cost),
        }
        for path, label, probabilities, exit_index, cost in zip(
            intact, result.labels, result.probabilities, result.exits, result.costs, strict=True
        )
    ]
    if as_json:
        facts = {"model": card.name, "policy": chosen.to_dict(), **_held_facts(held)}
        return to_json({**facts, "images": answers})
    return answers_text(answers, card)


def evaluate(
    model: ModelName,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="test or calibration.")] = "test",
    policy: PolicyFile = None,
    criterion: CriterionName = None,
    thresholds: Thresholds = None,
    hold_cost: HoldCost = None,
    data: DataRoot = None,
    device: Device = "cpu",
    threads: Threads = None,
    batch_size: Annotated[int, typer.Option(min=1, metavar="B", help="Images per batch.")] = 256,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the outputs of all exits (.npz).")
    ] = None,
    as_json: Json = False,
) -> str:
    """Measure accuracy and cost on a split.

    With the data set on disk, the network runs twice: with the policy (accuracy, cost, shares,
    time), and through every exit (accuracy per exit, --out). Without it, the model's stored table
    is used. With --hold-cost, thresholds change after every batch.
    """
    card = card_of(model)
    if out is not None:
        check_writable(out)
    held, chosen = _chosen(model, card, policy, criterion, thresholds, hold_cost)
    runs_with = chosen if held is None else held.start()
    if split not in ("test", "calibration"):
        raise UserError(
            f"expected --split to be test or calibration, but got {split!r}."
            f"{nearest(split, ('test', 'calibration'))}"
        )
    if data is not None or on_disk(card.dataset, split):
        use_threads(threads)
        figures, table = run_network(model, split, runs_with, data, device, batch_size)
    else:
        note(f"The data set {card.dataset} is not on disk: using the stored table of {model}.")
        table = shipped_table(model, split)
        no_times = dict.fromkeys(("seconds", "images_per_second", "device"))
        if isinstance(runs_with, CostController):
            report = brief(route_stream(table, runs_with, batch_size))
        else:
            report = brief(report_of(table, runs_with))
        figures = {"source": "table", **report, **no_times}
    if out is not None:
        from core.exits.table_file import save_tables

        save_tables(out, {split: table})
        note(f"Saved the outputs of all exits to {out}.")
    figures = {
        "model": card.name,
        "split": split,
        "samples": len(table),
        **figures,
        "per_exit_accuracy": table.accuracy_per_exit.tolist(),
        "per_exit_agreement": table.agreement_per_exit.tolist(),
        "plain_accuracy": plain_accuracy(card, split),
        "policy": chosen.to_dict(),
        **_held_facts(held),
    }
    if as_json:
        return to_json(figures)
    told = "" if held is None else f"\n\n{_held_sentence(held)}"
    return evaluation_text(figures, card, chosen) + told


def _chosen(
    model: str,
    card: Card,
    policy: Path | None,
    criterion: str | None,
    thresholds: str | None,
    hold_cost: float | None,
) -> "tuple[HeldCost | None, Policy]":
    """Return the cost to hold, if any, and the policy to begin with."""
    if hold_cost is None:
        return None, choose_policy(card, policy, criterion, thresholds)
    held = choose_held_cost(model, card, policy, criterion, thresholds, hold_cost)
    return held, held.policy


def _held_facts(held: HeldCost | None) -> dict[str, Any]:
    if held is None:
        return {}
    return {"held_cost": held.relative_cost, "half_life": held.half_life}


def _held_sentence(held: HeldCost) -> str:
    return (
        f"Thresholds began as above and followed the scores, to hold {held.relative_cost:.1%}, the "
        f"cost on calibration; a score counts half after {held.half_life} images. The accuracy is "
        "not held."
    )


def run_network(
    model: str,
    split: str,
    policy: "Policy | CostController",
    data: Path | None,
    device: str,
    batch_size: int,
) -> tuple[dict[str, Any], "ExitTable"]:
    """Return the figures of a run with the policy, and the table of all exits on these images."""
    from tqdm import tqdm

    from core.data.prepared import ImageSet
    from core.data.splits import load_split
    from core.hub.model import load

    loaded = load(model, device).optimised()
    card = loaded.card
    images = load_split(card.dataset, "test" if split == "test" else "calibration", data)
    if images.classes != card.classes:
        raise UserError(
            f"expected the data set {card.dataset} to have the classes on the card of {card.name}, "
            f"but got {len(images.classes)} others: name the right folder with --data."
        )
    answers, exits, costs, seconds = [], [], [], 0.0
    with tqdm(total=len(images), desc="with exits", unit=" images", disable=None) as bar:
        for first in range(0, len(images), PART):
            part = images.select(range(first, min(first + PART, len(images))))
            result = loaded.predict(
                part.images if isinstance(part, ImageSet) else part,
                policy,
                batch_size,
                lambda done, first=first: bar.update(first + done - bar.n),  # type: ignore[misc]
            )
            answers.append(result.labels)
            exits.append(result.exits)
            costs.append(result.costs)
            seconds += result.seconds
    note("Running every exit on the same images ...")
    table = loaded.table(images, batch_size=batch_size)
    figures = {
        "source": "network",
        "accuracy": float((np.concatenate(answers) == images.labels).mean()),
        "relative_cost": float(np.concatenate(costs).mean()),
        "exit_share": (
            np.bincount(np.concatenate(exits), minlength=card.num_exits) / len(images)
        ).tolist(),
        "seconds": seconds,
        "images_per_second": len(images) / seconds,
        "device": str(loaded.device),
    }
    return figures, table


def bench(
    model: ModelName,
    policy: PolicyFile = None,
    criterion: CriterionName = None,
    thresholds: Thresholds = None,
    data: DataRoot = None,
    device: Device = "cpu",
    threads: Threads = None,
    batch_size: Annotated[
        str, typer.Option(metavar="B,B", help="Batch sizes to measure.")
    ] = "1,256",
    runtime: Annotated[
        str, typer.Option(metavar="R,R", help="Runtimes to measure: torch, onnx, openvino.")
    ] = "torch",
    precision: Annotated[
        str, typer.Option(metavar="P,P", help="Precisions to measure: float32, bfloat16.")
    ] = "float32",
    as_json: Json = False,
) -> str:
    """Time the network with early exits against the full network without."""
    card = card_of(model)
    chosen = choose_policy(card, policy, criterion, thresholds)
    sizes = comma_separated("--batch-size", batch_size, int, "whole numbers like 1,256")
    if not sizes or min(sizes) < 1:
        raise UserError(f"expected every --batch-size to be at least 1, but got {batch_size!r}.")
    source, images = images_to_time(card, data)

    import torch

    from core.deploy.benchmark import measure_speedups
    from core.deploy.runtimes import configurations
    from core.hub.model import load

    runtimes, precisions = runtime.split(","), precision.split(",")
    chosen_runtimes = configurations(runtimes, precisions)
    use_threads(threads)
    loaded = load(model, device)
    count = torch.get_num_threads()
    note(f"Timing {len(chosen_runtimes)} configurations at {len(sizes)} batch sizes ...")
    measured = [
        speedup.to_dict()
        for speedup in measure_speedups(loaded, chosen, images, sizes, chosen_runtimes, count)
    ]
    if as_json:
        return to_json(
            {
                "model": card.name,
                "device": str(loaded.device),
                "threads": count,
                "source": source,
                "policy": chosen.to_dict(),
                "measurements": measured,
            }
        )
    head = f"{card.name} on {loaded.device}, {count} CPU threads, {source} images of {card.dataset}"
    return f"{head}\n{describe_policy(chosen, card)}\n\n{table_text(speedup_rows(measured))}"


def speedup_rows(measured: Sequence[dict[str, Any]]) -> list[Sequence[str]]:
    """Return a heading and a row per measurement of `bench`."""
    rows: list[Sequence[str]] = [
        (
            *("batch", "runtime", "precision", "ms per image, plain", "with exits", "time"),
            *("relative cost (MACs)", "p50 · p95 of a batch, plain", "with exits"),
        )
    ]
    for row in measured:
        times = [f"{row['plain_ms']:.3f}", f"{row['early_exit_ms']:.3f}"]
        ratios = [f"{row['time_ratio']:.1%}", f"{row['relative_cost']:.1%}"]
        spread = [
            f"{row[f'{name}_p50_ms']:.3f} · {row[f'{name}_p95_ms']:.3f}"
            for name in ("plain", "early_exit")
        ]
        names = [str(row["batch_size"]), row["runtime"], row["precision"]]
        rows.append((*names, *times, *ratios, *spread))
    return rows


def images_to_time(card: Card, data: Path | None) -> tuple[str, NDArray[np.uint8]]:
    """Return test images if the data set is on disk, else the shipped samples, and their name."""
    from core.data.encoded import at_size
    from core.data.samples import load_samples, sample_names
    from core.data.splits import load_split

    transform = card.evaluation_transform
    if data is None and not on_disk(card.dataset, "test") and card.dataset in sample_names():
        return "sample", load_samples(card.dataset, transform=transform).images
    return "test", at_size(load_split(card.dataset, "test", data), transform).images


def on_disk(dataset: str, split: str) -> bool:
    """Return whether a split of a data set is on disk under the default root."""
    from core.data.prepared import is_prepared

    return is_prepared(dataset, "test" if split == "test" else "train")
