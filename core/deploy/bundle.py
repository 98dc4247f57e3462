"""Bundles: a network with a policy as files that run without torch.

A bundle holds one ONNX file per stage, `manifest.json` with the rule that runs them, `run.py` that
does so with NumPy and ONNX Runtime, and recorded images with their answers. A stage ends at an exit
of the policy; exits that are off are left out.
"""

import hashlib
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.transform import EvaluationTransform, ToTensor
from core.deploy import router
from core.deploy.onnx_file import OPSET, write_onnx
from core.exits.inference import BATCH_SIZE, Prediction
from core.exits.policy import Policy
from core.foundation.costs import Costs
from core.foundation.errors import UserError
from core.foundation.files import write_json
from core.networks.network import ExitNetwork
from core.networks.normalisation import Normalisation

VERSION = 1
"""Of the manifest's layout."""
RUN = "run.py"
GOLDEN_IMAGES = 16
IMAGES, FEATURES, NEXT, LOGITS, CONFIDENCE = (
    *("images", "features", "next_features", "logits", "confidence"),
)
"""Names of tensors."""


class Card(Protocol):
    """Facts of a model, for example `core.hub.card.Card`."""

    name: str
    title: str
    dataset: str
    exit_names: tuple[str, ...]
    classes: tuple[str, ...]
    sha256: str

    @property
    def costs(self) -> Costs:
        """Of stages and heads."""

    @property
    def criteria(self) -> tuple[str, ...]:
        """Names of the criteria that the model can be used with."""

    @property
    def evaluation_transform(self) -> EvaluationTransform:
        """From a picture to the network's input."""


class Model(Protocol):
    """A model to export, for example `core.hub.model.Model`."""

    @property
    def network(self) -> ExitNetwork:
        """In eval mode."""

    @property
    def card(self) -> Any:
        """A `Card`."""

    @property
    def own_transform(self) -> Any:
        """Not None where a card cannot store the transform; its `reason` is a sentence."""

    def predict(
        self, images: NDArray[np.uint8], policy: Policy, batch_size: int = BATCH_SIZE, /
    ) -> Prediction:
        """Run the network with early exits."""

    def optimised(self, precision: Any) -> "Model":
        """Return the model for inference only, in a precision."""


class BundleStage(nn.Module):
    """The stages up to an exit, from the exit before it, with the exit's head.

    Maps images uint8 (B, H, W, C), or features, to the features and logits (B, K) and, where the
    head has a confidence branch, the confidence (B,) in [0, 1]. The last exit gives logits alone.
    """

    def __init__(
        self,
        network: ExitNetwork,
        stages: range,
        normalisation: Normalisation | None,
        early: bool,
    ) -> None:
        """Run ``stages`` of a network, after the normalisation where it is the first."""
        super().__init__()
        self.network, self.stages = network, stages
        self.normalisation, self.early = normalisation, early

    def names(self, count: int) -> list[str]:
        """Return the names of so many outputs."""
        return [NEXT, LOGITS, CONFIDENCE][:count] if self.early else [LOGITS]

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Run the stages and the head of the last of them."""
        if self.normalisation is not None:
            features = self.normalisation(features.permute(0, 3, 1, 2))
        for index in self.stages:
            features = self.network.stage(index, features)
        output = self.network.head(self.stages[-1], features)
        outputs = [features, output.logits] if self.early else [output.logits]
        if self.early and output.confidence_logit is not None:
            outputs.append(output.confidence_logit.sigmoid())
        return tuple(outputs)


def check_folder(folder: Path) -> None:
    """Raise `UserError` unless a bundle may be written there."""
    if (
        folder.exists()
        and not (folder / router.MANIFEST).is_file()
        and (not folder.is_dir() or any(folder.iterdir()))
    ):
        raise UserError(
            f"expected {folder} to be a new folder or a bundle's, but it holds other files: choose "
            "another name."
        )


def check_exportable(model: Model, policy: Policy) -> None:
    """Raise `UserError` unless a model with a policy can be run by the router."""
    card: Card = model.card
    policy.check(len(card.exit_names))
    if policy.criterion not in router.SCORES:
        raise UserError(
            f"expected a criterion that an exported bundle can compute "
            f"({', '.join(router.SCORES)}), but got '{policy.criterion}': use a policy with one of "
            "these."
        )
    if policy.criterion not in card.criteria:
        raise UserError(
            f"expected a policy for {card.name}, which has the criteria "
            f"{', '.join(card.criteria)}, but got one for '{policy.criterion}': it belongs to "
            "another model."
        )
    if model.own_transform is not None:
        raise UserError(model.own_transform.reason)
    if any(isinstance(step, ToTensor) for step in card.evaluation_transform.steps):
        raise UserError(
            "expected a transform that works on pictures, which the bundle does with Pillow, but "
            "this one resizes tensors: put ToTensor after Resize and CenterCrop."
        )


def write_bundle(
    model: Model, policy: Policy, folder: Path, images: NDArray[np.uint8]
) -> dict[str, Any]:
    """Write the files of a bundle, the manifest last, and check its answers.

    Args:
        model: to export; `check_exportable` with the policy.
        policy: decides which image leaves where.
        folder: empty.
        images: uint8 (N, H, W, C); the first `GOLDEN_IMAGES` are recorded with their answers.

    Returns:
        The manifest.

    Raises:
        UserError: an operation that ONNX lacks, or answers that differ from the model's.
    """
    card: Card = model.card
    stages = write_stages(model, policy, folder)
    shutil.copyfile(str(router.__file__), folder / RUN)
    golden = images[:GOLDEN_IMAGES]
    save_golden(folder, golden, model.predict(golden, policy))
    transform = card.evaluation_transform
    manifest = {
        "version": VERSION,
        "model": {
            "name": card.name,
            "title": card.title,
            "dataset": card.dataset,
            "weights_sha256": card.sha256,
        },
        "precision": "float32",
        "opset": OPSET,
        "classes": list(card.classes),
        "input": {
            "name": IMAGES,
            "dtype": "uint8",
            "shape": ["batch", *golden.shape[1:]],
            **transform.model_dump(mode="json"),
            "normalised_by": stages[0]["file"],
        },
        "rule": "leave at the first exit whose score > threshold, strictly; else at the last",
        "criterion": policy.criterion,
        "policy": policy.to_dict(),
        "stages": stages,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    write_manifest(folder, manifest)
    check_answers(folder)
    return manifest


def save_golden(
    folder: Path, images: NDArray[np.uint8], answers: Prediction | router.Answers
) -> None:
    """Record images with their answers, to check a bundle by."""
    np.savez_compressed(
        folder / router.GOLDEN,
        images=images,
        labels=answers.labels,
        exits=answers.exits,
        probabilities=answers.probabilities,
    )


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, with the checksums of all other files of a bundle."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest["files"] = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path != folder / router.MANIFEST
    }
    write_json(folder / router.MANIFEST, manifest)


def check_answers(folder: Path) -> None:
    """Raise `UserError` unless a bundle gives the recorded answers."""
    try:
        router.check(router.open_bundle(folder, threads=1), folder)
    except router.BundleError as error:
        raise UserError(str(error)) from None


def stages_of(model: Model, policy: Policy) -> Iterator[tuple[BundleStage, int]]:
    """Yield the stages that end at the exits a policy has on, and at the last, with these exits."""
    network = model.network
    last = network.num_exits - 1
    normalisation: Normalisation | None = model.card.evaluation_transform.normalisation
    first = 0
    for index in (*np.flatnonzero(policy.enabled).tolist(), last):
        yield (
            BundleStage(network, range(first, index + 1), normalisation, index < last).eval(),
            index,
        )
        normalisation, first = None, index + 1


@torch.inference_mode()
def write_stages(model: Model, policy: Policy, folder: Path) -> list[dict[str, Any]]:
    """Write one ONNX file per enabled exit; return the stages' entries in the manifest."""
    card: Card = model.card
    transform = card.evaluation_transform
    costs = card.costs.at_exits(policy.enabled)
    features = torch.zeros(2, *transform.size, len(transform.mean), dtype=torch.uint8)
    entries: list[dict[str, Any]] = []
    for stage, index in stages_of(model, policy):
        outputs = stage(features)
        read = FEATURES if entries else IMAGES
        names = stage.names(len(outputs))
        file = f"stage-{len(entries) + 1}.onnx"
        write_onnx(stage, {read: features}, folder / file, names)
        entries.append(
            {
                "file": file,
                "exit": card.exit_names[index],
                "exit_index": index,
                "inputs": {read: shape(features)},
                "outputs": dict(zip(names, map(shape, outputs), strict=True)),
                "threshold": policy.thresholds[index] if stage.early else None,
                "temperature": policy.temperatures[index] if policy.temperatures else 1.0,
                "relative_cost": float(costs[index]),
            }
        )
        features = outputs[0]
    return entries


def shape(tensor: Tensor) -> list[Any]:
    """Return the shape of a batch of any size."""
    return ["batch", *tensor.shape[1:]]
