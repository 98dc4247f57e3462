"""A Triton model repository of a bundle: one model per stage, and one that routes between them.

Triton's ensembles cannot branch; a Python model that calls others (business logic scripting) can.
"""

import shutil
from collections.abc import Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any

from core.deploy import router
from core.deploy.bundle import IMAGES, RUN, write_manifest

FOLDER = "triton"
MAX_BATCH = 256
_CONFIG = "config.pbtxt"
_KINDS = "inputs", "outputs"
_TYPES = {"images": "TYPE_UINT8", "label": "TYPE_INT64", "exit_index": "TYPE_INT64"}
_TYPES |= {"relative_cost": "TYPE_FP64"}  # all others are TYPE_FP32


def write_repository(bundle: Path, folder: Path) -> None:
    """Write the stages of a bundle as a model repository.

    Clients ask the model with the bundle's name: images uint8 (B, H, W, C) to the label, the exit,
    the relative cost, (B, 1) each, and the class probabilities (B, K).

    Args:
        bundle: its folder.
        folder: new.
    """
    manifest = router.read_manifest(bundle)
    name = manifest["model"]["name"] or "early-exit"
    own = folder / name / "1"
    own.mkdir(parents=True)
    for place, facts in enumerate(manifest["stages"], 1):
        facts["model"] = f"{name}-stage-{place}"
        stage = folder / facts["model"]
        (stage / "1").mkdir(parents=True)
        shutil.copyfile(bundle / facts["file"], stage / "1" / "model.onnx")
        tensors = ({key: shape[1:] for key, shape in facts[kind].items()} for kind in _KINDS)
        (stage / _CONFIG).write_text(_config(facts["model"], "onnxruntime", *tensors))
    classes = len(manifest["classes"])
    answers = {"label": [1], "exit_index": [1], "relative_cost": [1], "probabilities": [classes]}
    read = {IMAGES: manifest["input"]["shape"][1:]}
    batching = "dynamic_batching { }\ninstance_group [ { kind: KIND_CPU } ]\n"
    (own.parent / _CONFIG).write_text(_config(name, "python", read, answers) + batching)
    shutil.copyfile(bundle / RUN, own / RUN)
    shutil.copyfile(Path(__file__).with_name("triton_router.py"), own / "model.py")
    write_manifest(own, manifest)


def _config(
    name: str, backend: str, read: Mapping[str, Sequence[Any]], written: Mapping[str, Sequence[Any]]
) -> str:
    """Return a model's configuration; shapes are without the batch."""

    def tensors(kind: str, shapes: Mapping[str, Sequence[Any]]) -> str:
        return f"{kind} [\n" + ",\n".join(starmap(entry, shapes.items())) + "\n]\n"

    def entry(tensor: str, shape: Sequence[Any]) -> str:
        dims = ", ".join(map(str, shape)) or "1"
        reshape = "" if shape else " reshape { shape: [ ] }"  # dims may not be empty
        kind = _TYPES.get(tensor, "TYPE_FP32")
        return f'  {{ name: "{tensor}" data_type: {kind} dims: [ {dims} ]{reshape} }}'

    head = f'name: "{name}"\nbackend: "{backend}"\nmax_batch_size: {MAX_BATCH}\n'
    return head + tensors("input", read) + tensors("output", written)
