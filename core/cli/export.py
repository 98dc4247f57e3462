"""The command export: a network with a policy as files that run without torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from core.cli.options import DataRoot, Json, ModelName, Threads, use_threads
from core.cli.policy import CriterionName, PolicyFile, Thresholds, choose_policy
from core.cli.run import images_to_time, on_disk
from core.cli.text import describe_policy, table_text, to_json
from core.data.samples import load_samples, sample_names
from core.data.splits import load_split
from core.foundation.files import check_writable
from core.hub.registry import card_of

if TYPE_CHECKING:
    from core.data.prepared import ImageSet
    from core.hub.card import Card


def export(
    model: ModelName,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the bundle.")],
    policy: PolicyFile = None,
    criterion: CriterionName = None,
    thresholds: Thresholds = None,
    data: DataRoot = None,
    threads: Threads = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Add a bundle in 8-bit integers, its thresholds tuned again."),
    ] = False,
    triton: Annotated[
        bool, typer.Option("--triton", help="Add a model repository for a Triton server.")
    ] = False,
    as_json: Json = False,
) -> str:
    """Write the network with a policy as ONNX stages that run without torch."""
    card = card_of(model)
    check_writable(out, folder=True)
    chosen = choose_policy(card, policy, criterion, thresholds)

    from core.deploy.export import BATCH_SIZES
    from core.deploy.export import export as write
    from core.hub.model import load

    use_threads(threads)
    count = threads or 1
    images = recorded_images(card, data)
    splits = (calibration_images(card, data), reported_images(card, data)) if int8 else None
    manifest = write(
        load(model), chosen, out, images, whole=True, int8=splits, triton=triton, threads=count
    )
    if as_json:
        return to_json(manifest | {"folder": str(out)})
    rows = [("file", "up to exit", "leaves if the score is above", "relative cost", "kB")]
    for stage in manifest["stages"]:
        threshold = "–" if stage["threshold"] is None else f"{stage['threshold']:.4g}"
        cost = f"{stage['relative_cost']:.1%}"
        size = f"{(out / stage['file']).stat().st_size / 1000:,.0f}"
        rows.append((stage["file"], stage["exit"], threshold, cost, size))
    times = [("ONNX Runtime", *(f"batch {size}, ms per image" for size in BATCH_SIZES))]
    measured = manifest["report"]["by_batch_size"]
    for way in measured["1"]:
        cells = (measured[str(size)].get(way) for size in BATCH_SIZES)
        times.append((way, *("–" if cell is None else f"{cell['ms']:.3f}" for cell in cells)))
    parts = [
        f"{card.name} in {out}\n{describe_policy(chosen, card)}",
        *(table_text(rows), table_text(times)),
        *([int8_text(manifest["report"]["int8"])] if int8 else []),
        *([f"tritonserver --model-repository {out / 'triton'}"] if triton else []),
        f"python {out / 'run.py'} PICTURE   # with numpy, onnxruntime and pillow",
    ]
    return "\n\n".join(parts)


def int8_text(report: dict[str, Any]) -> str:
    """Return the figures of a quantised bundle beside those of the float one."""
    sizes = list(report["milliseconds_per_image"])
    rows: list[Sequence[str]] = [
        (
            *(f"on {report['split']}", "accuracy", "relative cost", "exits changed"),
            *("answers changed", *(f"batch {size}, ms per image" for size in sizes)),
        )
    ]
    names = {
        "float32": "float32",
        "int8": "int8, thresholds tuned again",
        "int8_with_the_thresholds_of_float32": "int8, thresholds of float32",
    }
    for name, title in names.items():
        figures = report[name]
        if figures is not None:
            times = (report["milliseconds_per_image"][size].get(name) for size in sizes)
            shares = ("accuracy", "relative_cost", "exits_changed", "answers_changed")
            cells = (f"{figures[share]:.2%}" for share in shares)
            rows.append((title, *cells, *("–" if ms is None else f"{ms:.3f}" for ms in times)))
    return table_text(rows)


def recorded_images(card: "Card", data: Path | None) -> NDArray[np.uint8]:
    """Return images of the data set, or noise where none of them is on this machine."""
    if data is None and not on_disk(card.dataset, "test") and card.dataset not in sample_names():
        height, width = card.evaluation_transform.size
        shape = (64, height, width, card.spec.in_channels)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return images_to_time(card, data)[1]


def calibration_images(card: "Card", data: Path | None) -> "ImageSet":
    """Return the calibration split, which ships where the data set is MNIST."""
    if data is None and card.dataset == "mnist" and not on_disk("mnist", "calibration"):
        return load_samples("mnist")
    from core.data.encoded import at_size

    return at_size(load_split(card.dataset, "calibration", data), card.evaluation_transform)


def reported_images(card: "Card", data: Path | None) -> "ImageSet":
    """Return the test split, or the calibration split where there is no other on this machine."""
    if data is None and not on_disk(card.dataset, "test"):
        return replace(calibration_images(card, data), split="calibration")
    from core.data.encoded import at_size

    return at_size(load_split(card.dataset, "test", data), card.evaluation_transform)
