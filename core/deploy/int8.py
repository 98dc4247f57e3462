"""A bundle in 8-bit integers: quantised stages, thresholds tuned on what they answer, figures.

Scores of quantised stages differ, so thresholds of the float network would let other images leave.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.prepared import ImageSet
from core.deploy import router
from core.deploy.benchmark import latencies
from core.deploy.bundle import (
    CONFIDENCE,
    GOLDEN_IMAGES,
    LOGITS,
    NEXT,
    RUN,
    Model,
    save_golden,
    write_bundle,
    write_manifest,
)
from core.exits.policy import Policy
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.foundation.files import write_json
from core.tuning.front import best_within_cost, front

FOLDER, REPORT = "int8", "report.json"
QUANTISED = ("Conv", "Relu", "Add", "MaxPool")
"""Operations in integers. The heads' classifiers stay in float: scores need their precision."""
CALIBRATION_IMAGES, BATCH = 256, 64
BATCH_SIZES = (1, 64)


def write_int8(
    model: Model,
    policy: Policy,
    folder: Path,
    floats: Path,
    calibration: ImageSet,
    reported: ImageSet,
    threads: int,
) -> dict[str, Any]:
    """Write the stages of a bundle in 8-bit integers as a bundle of its own.

    Activations' ranges are those on images of the calibration split. The thresholds are those of
    the most accurate policy, on the quantised network's own table of that split, that costs no
    more there than the float network does with ``policy``; its criterion and temperatures stay.

    Args:
        model: of the bundle.
        policy: of the float bundle.
        folder: new.
        floats: folder of the float bundle.
        calibration: the calibration split.
        reported: images to report on, of a split that chose nothing.
        threads: number of CPU threads to time with.

    Returns:
        The report: accuracy, relative cost and time of both bundles on ``reported``, with the
        exits and answers that changed.

    Raises:
        UserError: a policy with all exits off, or no policy that is as cheap.
    """
    if not any(policy.enabled):
        raise UserError(
            "expected a policy with early exits on, whose thresholds are tuned again for int8, but "
            "all are off: give another --policy."
        )
    max_cost = float(model.predict(calibration.images, policy).costs.mean())
    tuned = policy
    with tempfile.TemporaryDirectory() as temporary:
        source = floats
        while True:
            manifest = router.read_manifest(source)
            folder.mkdir()
            _quantise(manifest, source, folder, calibration.images)
            stages = [
                router.onnx_stage(folder / facts["file"], facts, threads)
                for facts in manifest["stages"]
            ]
            kept = tuned.enabled
            tuned = _tuned(table_of(stages, calibration, kept, model), tuned, max_cost)
            if tuned.enabled == kept:
                break
            shutil.rmtree(folder)  # with an exit less, the stages are others
            source = Path(temporary, str(sum(tuned.enabled)))
            source.mkdir()
            write_bundle(model, tuned, source, reported.images)
    for facts in manifest["stages"][:-1]:
        facts["threshold"] = tuned.thresholds[facts["exit_index"]]
    manifest |= {"precision": "int8", "policy": tuned.to_dict()}
    quantised = router.Router(manifest, stages)
    golden = reported.images[:GOLDEN_IMAGES]
    save_golden(folder, golden, quantised.predict(golden))
    ways = {"float32": router.open_bundle(floats, threads).predict, "int8": quantised.predict}
    report = {
        **_figures(model, policy, tuned, stages, reported),
        "threads": threads,
        "milliseconds_per_image": {
            str(size): {
                name: 1000 * latency.per_image
                for name, latency in zip(
                    ways, latencies(list(ways.values()), reported.images, size), strict=True
                )
            }
            for size in BATCH_SIZES
        },
    }
    write_json(folder / REPORT, report)
    write_manifest(folder, manifest)
    return report


def _figures(
    model: Model,
    policy: Policy,
    tuned: Policy,
    stages: Sequence[router.Stage],
    images: ImageSet,
) -> dict[str, Any]:
    """Return accuracy and cost of the float and the quantised network, and what changed."""
    floats = model.predict(images.images, policy)
    table = table_of(stages, images, tuned.enabled, model)
    exits = np.array(_used(tuned.enabled))

    def figures(labels: NDArray[Any], left: NDArray[Any], costs: NDArray[Any]) -> dict[str, float]:
        return {
            "accuracy": float((labels == images.labels).mean()),
            "relative_cost": float(costs.mean()),
            "exits_changed": float((left != floats.exits).mean()),
            "answers_changed": float((labels != floats.labels).mean()),
        }

    def routed(chosen: Policy) -> dict[str, float]:
        routing = route(table, _restricted(chosen, tuned.enabled))
        return figures(routing.answers, exits[routing.exits], routing.costs)

    return {
        "split": images.split,
        "images": len(images.images),
        "float32": figures(floats.labels, floats.exits, floats.costs),
        "int8": routed(tuned),
        "int8_with_the_thresholds_of_float32": (
            routed(policy) if policy.enabled == tuned.enabled else None
        ),
    }


def _quantise(
    manifest: dict[str, Any], floats: Path, folder: Path, images: NDArray[np.uint8]
) -> None:
    """Write the stages of a bundle in integers, with ranges of activations on some images."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str, batches: Sequence[NDArray[Any]]) -> None:
            self.batches: Iterator[dict[str, NDArray[Any]]] = iter([{name: x} for x in batches])

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self.batches, None)

    shutil.copyfile(floats / RUN, folder / RUN)
    chosen = images[np.arange(CALIBRATION_IMAGES) * len(images) // CALIBRATION_IMAGES]
    batches: list[NDArray[Any]] = list(chosen.reshape(-1, BATCH, *images.shape[1:]))
    for facts in manifest["stages"]:
        (read,) = facts["inputs"]
        prepared = folder / f"{facts['file']}.prepared"
        quant_pre_process(floats / facts["file"], prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            folder / facts["file"],
            Reader(read, batches),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        prepared.unlink()
        if NEXT in facts["outputs"]:
            run = router.onnx_stage(floats / facts["file"], facts, 1)
            batches = [run(batch)[NEXT] for batch in batches]


def table_of(
    stages: Sequence[router.Stage], images: ImageSet, enabled: Sequence[bool], model: Model
) -> ExitTable:
    """Return the table of the exits that a bundle has: those that are enabled, and the last."""
    parts: list[tuple[list[NDArray[Any]], list[NDArray[Any]]]] = []
    for first in range(0, len(images.images), BATCH):
        features: NDArray[Any] = images.images[first : first + BATCH]
        probabilities, confidences = [], []
        for stage in stages:
            outputs = stage(features)
            probabilities.append(router.softmax(outputs[LOGITS], 1.0))
            if CONFIDENCE in outputs:
                confidences.append(outputs[CONFIDENCE])
            features = outputs.get(NEXT, features)
        parts.append((probabilities, confidences))
    ys, learned = (
        [np.concatenate(column) for column in zip(*(part[kind] for part in parts), strict=True)]
        for kind in (0, 1)
    )
    return ExitTable(
        probabilities=np.stack(ys, axis=1),
        confidence=np.stack(learned, axis=1) if learned else None,
        labels=images.labels,
        ids=images.ids,
        costs=model.card.costs.select(_used(enabled)),
        classes=model.card.classes,
    )


def _used(enabled: Sequence[bool]) -> list[int]:
    """Return the exits that a bundle has."""
    return [*np.flatnonzero(enabled).tolist(), len(enabled)]


def _restricted(policy: Policy, enabled: Sequence[bool]) -> Policy:
    """Return a policy for the exits alone that are enabled."""
    used = _used(enabled)
    temperatures = policy.temperatures and np.take(policy.temperatures, used)
    return Policy(
        policy.criterion,
        np.take(policy.thresholds, used[:-1]),
        np.take(policy.enabled, used[:-1]),
        temperatures,
    )


def _tuned(table: ExitTable, policy: Policy, max_cost: float) -> Policy:
    """Return ``policy`` with thresholds tuned on the table of the exits that it has on."""
    own = _restricted(policy, policy.enabled)
    found = best_within_cost([front(table, own.criterion, own.temperatures)], max_cost)
    on = np.flatnonzero(policy.enabled)
    thresholds, enabled = np.ones(len(policy.enabled)), np.zeros(len(policy.enabled), bool)
    thresholds[on], enabled[on] = found.thresholds, found.enabled
    return Policy(policy.criterion, thresholds, enabled, policy.temperatures)
