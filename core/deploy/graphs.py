"""A whole network in one ONNX file: all exits without skipping, or one image with nested `If`.

They are for viewers and simulation: neither is how a bundle is run, see `core.deploy.bundle`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.deploy.bundle import (
    CONFIDENCE,
    FEATURES,
    IMAGES,
    LOGITS,
    NEXT,
    BundleStage,
    Card,
    Model,
    stages_of,
)
from core.deploy.onnx_file import OPSET, write_onnx
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.networks.network import ExitNetwork
from core.networks.normalisation import Normalisation

ALL_EXITS = "all-exits-no-skipping.onnx"
NESTED_IF = "one-image-nested-if.onnx"
EXIT, PROBABILITIES, SCORE = "exit_index", "probabilities", "score"
YS, CONFIDENCES = "probabilities_so_far", "confidences_so_far"
_WRITTEN = {FEATURES: NEXT, YS: "probabilities_with_this", CONFIDENCES: "confidences_with_this"}
"""By what a stage reads, what the stage before wrote."""
_IR_VERSION = 10
"""Of the file; the exporter's opset needs no newer one."""
_TOLERANCE = 1e-4  # between the probabilities of two libraries


class AllExits(nn.Module):
    """Images uint8 (B, H, W, C) to logits (B, E, K) and confidence (B, E−1), if there is any."""

    def __init__(self, network: ExitNetwork, normalisation: Normalisation) -> None:
        """Run a network after the normalisation."""
        super().__init__()
        self.network, self.normalisation = network, normalisation

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run everything."""
        outputs = self.network(self.normalisation(images.permute(0, 3, 1, 2)))
        if outputs.confidence_logits is None:
            return (outputs.logits,)
        return outputs.logits, outputs.confidence_logits.sigmoid()


@torch.inference_mode()
def write_all_exits(model: Model, path: Path, images: NDArray[np.uint8]) -> None:
    """Write a network with all its exits, skipping nothing, and check its answers to images."""
    card: Card = model.card
    module = AllExits(model.network, card.evaluation_transform.normalisation).eval()
    example = torch.from_numpy(images[:2])
    outputs = module(example)
    write_onnx(module, {IMAGES: example}, path, [LOGITS, CONFIDENCE][: len(outputs)])
    (logits, *_) = open_graph(path, 1).run(None, {IMAGES: images})
    _check(
        path, torch.from_numpy(logits).softmax(2), module(torch.from_numpy(images))[0].softmax(2)
    )


class ScoredStage(nn.Module):
    """A stage with its probabilities and score, given what earlier exits put out.

    Maps features, the probabilities (1, i, K) of earlier exits and, where there are any, their
    confidences (1, i) to the next features, the probabilities (1, K), the score (1,), and the
    probabilities and confidences with this exit's. The last stage gives probabilities alone.
    """

    def __init__(self, stage: BundleStage, policy: Policy, index: int, first: bool) -> None:
        """Score the ``stage`` that ends at exit ``index`` as a policy does."""
        super().__init__()
        self.stage, self.policy, self.index, self.first = stage, policy, index, first
        temperatures = policy.temperatures
        self.temperature = temperatures[index] if temperatures else 1.0

    def forward(self, features: Tensor, *before: Tensor) -> tuple[Tensor, ...]:
        """Run the stage."""
        outputs = self.stage(features)
        early = self.stage.early
        y = (outputs[1 if early else 0] / self.temperature).softmax(dim=1)
        if not early:
            return (self._possible(y, before),)
        so_far = [y[:, None], *(part[:, None] for part in outputs[2:])]
        if not self.first:
            so_far = [torch.cat(pair, dim=1) for pair in zip(before, so_far, strict=True)]
        table = _table(so_far)
        score: Any = CRITERIA[self.policy.criterion].score(table, table.num_exits - 1)
        return outputs[0], y, score, *so_far

    def _possible(self, y: Tensor, before: Sequence[Tensor]) -> Tensor:
        """Return the last exit's probabilities without classes that earlier exits ruled out."""
        rule = CRITERIA[self.policy.criterion].ruled_out
        if rule is None or not before:
            return y
        table = _table(before)
        out: Any = rule(table, table.num_exits - 1)
        enabled = np.flatnonzero(self.policy.enabled)
        left = torch.where(out.double() > self.policy.thresholds[enabled[-1]], 0.0, y)
        return left / left.sum(dim=1, keepdim=True)


def _table(so_far: Sequence[Tensor]) -> ExitTable:
    """Return a table of tensors: probabilities (B, i, K) and, if there are any, confidences."""
    return ExitTable.unchecked(
        probabilities=so_far[0],
        confidence=so_far[1] if len(so_far) > 1 else None,
        labels=np.full(len(so_far[0]), -1),
        ids=np.arange(len(so_far[0])),
        costs=None,
        classes=tuple(map(str, range(so_far[0].shape[2]))),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """A stage's graph, and the threshold after it; None at the last exit."""

    graph: Any
    threshold: float | None
    exit_index: int


@torch.inference_mode()
def write_nested_if(model: Model, policy: Policy, path: Path, images: NDArray[np.uint8]) -> None:
    """Write a network for one image, with each further stage in a branch of an `If`.

    Maps images uint8 (1, H, W, C) to probabilities (1, K) and the exit. Its answers to ``images``
    are checked.

    Raises:
        UserError: the policy's criterion is one of a plugin that does not run on tensors, or
            answers differ.
    """
    import onnx

    if not CRITERIA[policy.criterion].array_api:
        raise UserError(
            f"expected a criterion that runs on tensors, but '{policy.criterion}' does not: "
            "register it with array_api=True."
        )
    parts: list[_Part] = []
    values = [torch.from_numpy(images[:1])]
    for stage, index in stages_of(model, policy):
        scored = ScoredStage(stage, policy, index, first=not parts).eval()
        outputs = scored(*values)
        names = [IMAGES if not parts else FEATURES, YS, CONFIDENCES][: len(values)]
        early = [NEXT, PROBABILITIES, SCORE, _WRITTEN[YS], _WRITTEN[CONFIDENCES]]
        written = early[: len(outputs)] if stage.early else [PROBABILITIES]
        part = path.with_name(f"{len(parts)}.part")
        write_onnx(scored, dict(zip(names, values, strict=True)), part, written, static=True)
        threshold = policy.thresholds[index] if stage.early else None
        parts.append(_Part(onnx.load(part).graph, threshold, index))
        part.unlink()
        if stage.early:
            values = [outputs[0], *outputs[3:]]
    _write_nested(parts, path, len(model.card.classes))
    session = open_graph(path, 1)
    found = [session.run(None, {IMAGES: image[None]}) for image in images]
    expected = model.predict(images, policy)
    _check(path, np.concatenate([one[0] for one in found]), expected.probabilities)
    _check(path, [one[1] for one in found], expected.exits)


def _write_nested(parts: Sequence[_Part], path: Path, num_classes: int) -> None:
    import onnx
    from onnx import TensorProto, helper

    def outputs(answer: str, left: str) -> list[Any]:
        return [
            helper.make_tensor_value_info(answer, TensorProto.FLOAT, [1, num_classes]),
            helper.make_tensor_value_info(left, TensorProto.INT64, []),
        ]

    def leave(place: int) -> Any:
        """Return the graph that answers what a stage answers."""
        names = f"{place}/answer", f"{place}/left"
        exit_index = helper.make_tensor("exit", TensorProto.INT64, [], [parts[place].exit_index])
        nodes = [
            helper.make_node("Identity", [f"{place}/{PROBABILITIES}"], [names[0]]),
            helper.make_node("Constant", [], [names[1]], value=exit_index),
        ]
        return helper.make_graph(nodes, f"leave-{place}", [], outputs(*names))

    def run(place: int) -> Any:
        """Return the graph of a stage, with what follows it in a branch."""
        part = parts[place]
        _rename(part.graph, place)
        nodes = list(part.graph.node)
        constants = list(part.graph.initializer)
        if part.threshold is None:
            nodes += leave(place).node
            return helper.make_graph(nodes, f"run-{place}", [], leave(place).output, constants)
        exact, limit, above, leaves = (
            f"{place}/{one}" for one in ("exact", "limit", "above", "is")
        )
        threshold = helper.make_tensor("threshold", TensorProto.DOUBLE, [], [part.threshold])
        names = f"{place}/chosen", f"{place}/chosen_exit"
        branches = {"then_branch": leave(place), "else_branch": run(place + 1)}
        nodes += [
            helper.make_node("Cast", [f"{place}/{SCORE}"], [exact], to=TensorProto.DOUBLE),
            helper.make_node("Constant", [], [limit], value=threshold),
            helper.make_node("Greater", [exact, limit], [above]),
            helper.make_node("Squeeze", [above], [leaves]),
            helper.make_node("If", [leaves], names, **branches),
        ]
        return helper.make_graph(nodes, f"run-{place}", [], outputs(*names), constants)

    read = list(parts[0].graph.input)
    whole = run(0)
    whole.input.extend(read)
    for inner, outer in zip(whole.output, (PROBABILITIES, EXIT), strict=True):
        whole.node.append(helper.make_node("Identity", [inner.name], [outer]))
        inner.name = outer
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _rename(graph: Any, place: int) -> None:
    """Give the tensors of a stage's graph names of their own, and its inputs those of before."""
    known = {IMAGES: IMAGES, "": ""}
    for read in (FEATURES, YS, CONFIDENCES):
        known[read] = f"{place - 1}/{_WRITTEN[read]}"

    def renamed(name: str) -> str:
        return known.get(name, f"{place}/{name}")

    for node in graph.node:
        node.name = f"{place}/{node.name}"
        for names in (node.input, node.output):
            names[:] = [renamed(name) for name in names]
    for constant in graph.initializer:
        constant.name = renamed(constant.name)


def open_graph(path: Path, threads: int) -> Any:
    """Open a file with ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _check(path: Path, found: Any, expected: Any) -> None:
    gap = np.abs(np.asarray(found) - np.asarray(expected)).max()
    if not gap < _TOLERANCE:
        raise UserError(
            f"expected {path.name} to answer as the model does, but probabilities differ by "
            f"{gap:.1g}: replace the layer that ONNX Runtime computes in another way."
        )
