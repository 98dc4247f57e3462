"""Runtimes: what runs a model with a policy, torch or a bundle's stages by another library."""

import functools
import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.deploy import router
from core.deploy.bundle import BundleStage, Model, check_exportable, stages_of, write_bundle
from core.deploy.onnx_file import EXTRA, require
from core.exits.policy import Policy
from core.foundation.errors import UserError, nearest
from core.foundation.registry import Registry

Images = NDArray[np.uint8]
Run = Callable[[Images, int], object]
"""Classifies images (N, H, W, C) in batches of a size."""
OpenStage = Callable[[Path, dict[str, Any], str, int], router.Stage]
"""Opens a stage's file, given its entry in the manifest, the precision and a number of threads."""


@dataclass(frozen=True)
class Runtime:
    """A library that runs networks on a CPU.

    Attributes:
        name: unique.
        title: for people.
        precisions: that it computes in, the first by default.
        extra: the optional extra that installs it; "" where nothing is to be installed.
        stage: opens one stage of a bundle; None for torch, which runs the model itself.
    """

    name: str
    title: str
    precisions: tuple[str, ...]
    extra: str
    stage: OpenStage | None


RUNTIMES: Registry[Runtime] = Registry("runtime")


def _onnx_stage(path: Path, facts: dict[str, Any], precision: str, threads: int) -> router.Stage:
    return router.onnx_stage(path, facts, threads)


@functools.cache
def _openvino_core() -> Any:
    """Return the one `openvino.Core` of this process.

    Each gives its thread a stack for signal handlers and brings back the one before when it goes.
    Where two go in the order they came, the thread is left with the freed stack of the first, and
    the next signal ends the process.
    """
    import openvino

    return openvino.Core()


def _openvino_stage(
    path: Path, facts: dict[str, Any], precision: str, threads: int
) -> router.Stage:
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # else it waits for a core on which other work runs
    }
    compiled = _openvino_core().compile_model(path, "CPU", settings)
    names = list(facts["outputs"])

    def run(features: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return dict(zip(names, compiled(features).to_tuple(), strict=True))

    return run


for _runtime in (
    Runtime("torch", "PyTorch", ("float32", "bfloat16"), "", None),
    Runtime("onnx", "ONNX Runtime", ("float32",), "onnx", _onnx_stage),
    Runtime("openvino", "OpenVINO", ("float32", "bfloat16"), "openvino", _openvino_stage),
):
    RUNTIMES.register(_runtime.name)(_runtime)


def configurations(runtimes: Sequence[str], precisions: Sequence[str]) -> list[tuple[Runtime, str]]:
    """Return each runtime with each of the precisions that it has.

    Raises:
        UserError: an unknown runtime or precision, a runtime that is not installed or has none of
            the precisions.
    """
    every = sorted({one for runtime in RUNTIMES.values() for one in runtime.precisions})
    for precision in precisions:
        if precision not in every:
            raise UserError(
                f"expected every precision to be one of {', '.join(every)}, but got "
                f"{precision!r}.{nearest(precision, every)}"
            )
    chosen = []
    for name in runtimes:
        runtime = RUNTIMES[name]
        if runtime.extra:
            require("onnx", f"to export for the runtime {name}")
            require(runtime.extra, f"for the runtime {name}")
        own = [(runtime, precision) for precision in precisions if precision in runtime.precisions]
        if not own:
            raise UserError(
                f"expected a precision that the runtime {name} has "
                f"({', '.join(runtime.precisions)}), but got {', '.join(precisions)}."
            )
        chosen += own
    return chosen


def installed(single_stages: bool = False) -> list[tuple[Runtime, str]]:
    """Return every runtime on this machine with each precision that it runs networks in.

    Args:
        single_stages: whether with those alone that `opened_stages` runs.
    """
    found = []
    for runtime in RUNTIMES.values():
        packages = [*EXTRA["onnx"], *EXTRA[runtime.extra]] if runtime.extra else []
        if all(importlib.util.find_spec(package) for package in packages):
            whole_only = single_stages and runtime.stage is None
            precisions = ("float32",) if whole_only else runtime.precisions
            found += [(runtime, precision) for precision in precisions]
    return found


@contextmanager
def opened(
    model: Model,
    policy: Policy,
    chosen: Sequence[tuple[Runtime, str]],
    images: Images,
    threads: int,
) -> Iterator[list[Run]]:
    """Yield a function per configuration that runs the model with the policy.

    Args:
        model: on the device to measure; other runtimes than torch run on the CPU.
        policy: to run with.
        chosen: as `configurations` returns them.
        images: uint8 (N, H, W, C); a bundle's answers to some of them are checked.
        threads: number of CPU threads.

    Raises:
        UserError: a model that cannot be exported.
    """

    def run(runtime: Runtime, precision: str) -> Run:
        if runtime.stage is None:
            fast = model.optimised(precision)
            return lambda images, batch_size: fast.predict(images, policy, batch_size)
        stages = _open_stages(runtime, precision, folder, manifest, threads)
        return router.Router(manifest, stages).predict

    with _bundle(model, policy, chosen, images) as (folder, manifest):
        yield [run(*one) for one in chosen]


@contextmanager
def opened_stages(
    model: Model,
    policy: Policy,
    chosen: Sequence[tuple[Runtime, str]],
    images: Images,
    threads: int,
) -> Iterator[list[list[router.Stage]]]:
    """Yield per configuration the stages that end at the exits of the policy; as `opened`."""
    with _bundle(model, policy, chosen, images) as (folder, manifest):
        yield [
            _torch_stages(model, policy)
            if runtime.stage is None
            else _open_stages(runtime, precision, folder, manifest, threads)
            for runtime, precision in chosen
        ]


@contextmanager
def _bundle(
    model: Model, policy: Policy, chosen: Sequence[tuple[Runtime, str]], images: Images
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield a bundle's folder and manifest, empty where torch is the only runtime."""
    with tempfile.TemporaryDirectory() as temporary:
        manifest: dict[str, Any] = {}
        if any(runtime.stage for runtime, _ in chosen):
            check_exportable(model, policy)
            manifest = write_bundle(model, policy, Path(temporary), images)
        yield Path(temporary), manifest


def _open_stages(
    runtime: Runtime, precision: str, folder: Path, manifest: dict[str, Any], threads: int
) -> list[router.Stage]:
    assert runtime.stage is not None
    return [
        runtime.stage(folder / facts["file"], facts, precision, threads)
        for facts in manifest["stages"]
    ]


def _torch_stages(model: Model, policy: Policy) -> list[router.Stage]:
    def opened_stage(stage: BundleStage) -> router.Stage:
        @torch.inference_mode()
        def run(features: NDArray[Any]) -> dict[str, NDArray[Any]]:
            outputs = stage(torch.from_numpy(features))
            return {
                name: output.numpy()
                for name, output in zip(stage.names(len(outputs)), outputs, strict=True)
            }

        return run

    return [opened_stage(stage) for stage, _ in stages_of(model, policy)]
