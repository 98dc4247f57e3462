"""The command export: a network with a policy as files that run without torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from core.cli.options import DataRoot, Json, ModelName, Threads, use_threads
from core.cli.policy import CriterionName, PolicyFile, Thresholds, choose_policy
from core.cli.run import images_to_time, is_prepared
from core.cli.text import describe_policy, table_text, to_json
from core.data.samples import sample_names
from core.hub.registry import card_of

if TYPE_CHECKING:
    from core.hub.card import Card


def export(
    model: ModelName,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the bundle.")],
    policy: PolicyFile = None,
    criterion: CriterionName = None,
    thresholds: Thresholds = None,
    data: DataRoot = None,
    threads: Threads = None,
    as_json: Json = False,
) -> str:
    """Write the network with a policy as ONNX stages that run without torch."""
    card = card_of(model)
    chosen = choose_policy(card, policy, criterion, thresholds)

    from core.deploy.export import BATCH_SIZES
    from core.deploy.export import export as write
    from core.hub.model import load

    use_threads(threads)
    count = threads or 1
    images = recorded_images(card, data)
    manifest = write(load(model), chosen, out, images, whole=True, threads=count)
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
    return (
        f"{card.name} in {out}\n{describe_policy(chosen, card)}\n\n{table_text(rows)}\n\n"
        f"{table_text(times)}\n\n"
        f"python {out / 'run.py'} PICTURE   # with numpy, onnxruntime and pillow"
    )


def recorded_images(card: "Card", data: Path | None) -> NDArray[np.uint8]:
    """Return images of the data set, or noise where none of them is on this machine."""
    if (
        data is None
        and not is_prepared(card.dataset, "test")
        and card.dataset not in sample_names()
    ):
        height, width = card.evaluation_transform.size
        shape = (64, height, width, card.spec.in_channels)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return images_to_time(card, data)[1]
