"""Export: a bundle with everything that goes into it, and a report of what was measured."""

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.prepared import ImageSet
from core.deploy import router
from core.deploy.benchmark import latencies
from core.deploy.bundle import (
    GOLDEN_IMAGES,
    IMAGES,
    Model,
    check_exportable,
    check_folder,
    write_bundle,
    write_manifest,
)
from core.deploy.graphs import ALL_EXITS, NESTED_IF, open_graph, write_all_exits, write_nested_if
from core.deploy.int8 import FOLDER as INT8
from core.deploy.int8 import REPORT, write_int8
from core.deploy.onnx_file import require
from core.deploy.runtimes import Run
from core.deploy.triton import FOLDER as TRITON
from core.deploy.triton import write_repository
from core.exits.policy import Policy
from core.foundation.files import atomic_folder, write_json
from core.foundation.processor import processor

BATCH_SIZES = (1, 64)


def export(
    model: Model,
    policy: Policy,
    folder: Path,
    images: NDArray[np.uint8],
    *,
    whole: bool = False,
    int8: tuple[ImageSet, ImageSet] | None = None,
    triton: bool = False,
    threads: int = 1,
) -> dict[str, Any]:
    """Write a model with a policy as a bundle, atomically; an earlier bundle there is replaced.

    Args:
        model: to export.
        policy: decides which image leaves where.
        folder: new, empty, or a bundle.
        images: uint8 (N, H, W, C) as the network reads them, recorded with their answers and timed.
        whole: whether to add the network in one file, see `core.deploy.graphs`, and `report.json`
            with the time that each way takes.
        int8: whether to add a bundle in 8-bit integers, see `core.deploy.int8`: the calibration
            split, and images of another split to report on.
        triton: whether to add a Triton model repository, see `core.deploy.triton`.
        threads: number of CPU threads to time with.

    Returns:
        The manifest, with what was measured under "report".

    Raises:
        UserError: onnx or onnxruntime is missing; a policy of another model or with a criterion
            that is not the router's; a transform or an operation that cannot be exported; a folder
            with other files; or files that do not answer as the model does.
    """
    require("onnx", "to export")
    check_exportable(model, policy)
    check_folder(folder)
    with atomic_folder(folder) as partial:
        manifest = write_bundle(model, policy, partial, images)
        report: dict[str, Any] = {}
        if whole:
            golden = images[:GOLDEN_IMAGES]
            write_all_exits(model, partial / ALL_EXITS, golden)
            write_nested_if(model, policy, partial / NESTED_IF, golden)
            report |= time_ways(model, partial, images, threads)
        if int8 is not None:
            report["int8"] = write_int8(model, policy, partial / INT8, partial, *int8, threads)
        if report:
            write_json(partial / REPORT, report)
        if triton:
            write_repository(partial, partial / TRITON)
        write_manifest(partial, manifest)
        return manifest | {"report": report}


def export_zip(model: Model, policy: Policy, name: str, images: NDArray[np.uint8]) -> bytes:
    """Return a bundle, without further parts, as a ZIP archive of the folder ``name``.

    Raises:
        UserError: as `export`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        export(model, policy, Path(temporary, name), images)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(temporary, name).iterdir()):
                archive.write(path, f"{name}/{path.name}")
        return content.getvalue()


def time_ways(
    model: Model, folder: Path, images: NDArray[np.uint8], threads: int
) -> dict[str, Any]:
    """Return the times of the ways to run a bundle with ONNX Runtime, measured in turns.

    Args:
        model: of the bundle.
        folder: the bundle, with the network in one file.
        images: uint8 (N, H, W, C).
        threads: number of CPU threads.

    Returns:
        The machine, and by batch size and way the milliseconds per image and the percentiles of a
        batch: the plain network, the stages with the router, all exits, and nested `If`.
    """
    import onnxruntime

    def graph(name: str, one_by_one: bool) -> Run:
        session = open_graph(folder / name, threads)
        if one_by_one:
            return lambda batch, size: [session.run(None, {IMAGES: one[None]}) for one in batch]
        return lambda batch, size: session.run(None, {IMAGES: batch})

    with tempfile.TemporaryDirectory() as temporary:
        never = Policy.never("max_probability", model.network.num_exits)
        write_bundle(model, never, Path(temporary), images)
        ways: dict[str, Run] = {
            "plain network": router.open_bundle(Path(temporary), threads).predict,
            "stages and router": router.open_bundle(folder, threads).predict,
            ALL_EXITS: graph(ALL_EXITS, one_by_one=False),
            NESTED_IF: graph(NESTED_IF, one_by_one=True),
        }
        measured = {}
        for size in BATCH_SIZES:
            timed = {name: run for name, run in ways.items() if size == 1 or name != NESTED_IF}
            times = latencies(list(timed.values()), images, size)
            measured[str(size)] = {
                name: latency.to_dict() for name, latency in zip(timed, times, strict=True)
            }
    return {
        "machine": processor(),
        "threads": threads,
        "onnxruntime": onnxruntime.__version__,
        "by_batch_size": measured,
    }
