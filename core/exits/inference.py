"""Inference: all exits for a table, or only the stages that a policy needs."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.exits.cost_controller import CostController
from core.exits.criteria import CRITERIA, Criterion
from core.exits.criteria.criterion import Function
from core.exits.policy import Policy
from core.exits.table import TINY, CostArray, ExitTable, FloatArray, IntArray
from core.foundation.costs import Costs
from core.networks.graphs import padded
from core.networks.network import ExitNetwork, Stages

BATCH_SIZE = 256


@dataclass(frozen=True)
class Engine:
    """How stages are run on a device. Does not change what a network answers.

    Attributes:
        chunk: images that run through a stage at once; None: a whole batch. What fits into a
            processor's cache runs faster.
        compaction_share: images that left are dropped from the batch once they make up this share
            of its rows. Copying the other rows takes time; `benchmarks.compaction` measures from
            which share on it pays.
        largest_graph: batches of at most so many rows run as recorded graphs, padded to a power of
            two; 0: none. Then rows count as padded.
    """

    chunk: int | None = None
    compaction_share: float = 1 / 8
    largest_graph: int = 0

    def drops(self, rows: int, inside: int) -> bool:
        """Return whether a batch of so many rows shrinks to those that are still inside."""
        if not self.largest_graph:
            return rows - inside >= self.compaction_share * rows
        before, after = (padded(count, self.largest_graph) for count in (rows, inside))
        return before - after >= self.compaction_share * before


@dataclass(frozen=True, eq=False)
class Prediction:
    """Answers of a network run with early exits, in the order of the images.

    Attributes:
        labels: (N,) class indices of the answers.
        exits: (N,) the exit at which each sample left.
        costs: (N,) in units of the plain network.
        probabilities: (N, K) class probabilities at that exit.
        seconds: wall time of the run, copies to and from the device included.
    """

    labels: IntArray
    exits: IntArray
    costs: CostArray
    probabilities: FloatArray
    seconds: float

    def __len__(self) -> int:
        return len(self.labels)


def _array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.float().cpu().numpy()
    return array


@torch.inference_mode()
def run_all_exits(
    network: ExitNetwork, batches: Iterable[Tensor]
) -> tuple[FloatArray, FloatArray | None]:
    """Run every stage and head on every image, skipping nothing.

    Args:
        network: in eval mode.
        batches: normalised images (B, C, H, W) on the network's device.

    Returns:
        Probabilities (N, E, K), and the early exits' confidence (N, E−1) or None.
    """
    probabilities, confidences = [], []
    for images in batches:
        outputs = network(images.to(network.dtype))
        probabilities.append(_array(outputs.logits.float().softmax(dim=2)))
        if outputs.confidence_logits is not None:
            confidences.append(_array(outputs.confidence_logits.float().sigmoid()))
    confidence = np.concatenate(confidences) if confidences else None
    return np.concatenate(probabilities), confidence


@torch.inference_mode()
def run_with_skipping(
    network: Stages,
    batches: Iterable[Tensor],
    policy: Policy | CostController,
    costs: Costs,
    on_batch: Callable[[int], None] = lambda done: None,
    engine: Engine | None = None,
) -> Prediction:
    """Run each stage only for the samples that are still inside, at any batch size.

    Answers, exits and costs equal those of `core.exits.routing.route` on the table of the same
    images, except for scores within float tolerance of a threshold. Heads of disabled exits are
    not computed.

    Args:
        network: in eval mode, or its stages run in another way.
        batches: normalised images (B, C, H, W) on the network's device.
        policy: decides which sample leaves where; a controller does so by another policy for
            every batch, and goes on from where it stands.
        costs: of the network's stages and heads.
        on_batch: called after each batch with the number of images done.
        engine: how to run the stages; by default whole batches.

    Raises:
        UserError: the policy does not fit the network.
    """
    controller = policy if isinstance(policy, CostController) else None
    current = policy if isinstance(policy, Policy) else policy.policy
    current.check(network.num_exits)
    start = time.perf_counter()
    parts = []
    done = 0
    for images in batches:
        observed = controller is not None
        parts.append(_run_batch(network, images, current, costs, engine or Engine(), observed))
        if controller is not None:
            controller.observe(parts[-1].scores, parts[-1].exits)
            current = controller.policy
        done += len(images)
        on_batch(done)
    exits = np.concatenate([part.exits for part in parts])
    probabilities = np.concatenate([part.probabilities for part in parts])
    return Prediction(
        labels=probabilities.argmax(axis=1),
        exits=exits,
        costs=costs.at_exits(current.enabled)[exits],
        probabilities=probabilities,
        seconds=time.perf_counter() - start,
    )


@dataclass(frozen=True, eq=False)
class _Batch:
    """Exits (B,), probabilities (B, K) there, and scores (B, E−1) of exits that were reached."""

    exits: IntArray
    probabilities: FloatArray
    scores: FloatArray


def _run_batch(
    network: Stages,
    images: Tensor,
    policy: Policy,
    costs: Costs,
    engine: Engine,
    observed: bool,
) -> _Batch:
    """Run one batch. Everything stays on the network's device until it is done.

    An exit whose threshold no score can exceed is not waited for, unless scores are observed.
    """
    criterion = CRITERIA[policy.criterion]
    last, count = network.num_exits - 1, len(images)
    chunk = engine.chunk or count
    exits = torch.full((count,), last, device=images.device)
    scores = torch.zeros((count, last), device=images.device)
    answers: Tensor | None = None  # (B, K)
    rows = torch.arange(count, device=images.device)  # sample of each row of the features
    inside = torch.ones_like(rows, dtype=torch.bool)  # rows whose sample has not left
    evaluated: list[int] = []
    probabilities: list[Tensor] = []  # of the exits evaluated so far, (rows, K) each
    confidences: list[Tensor] = []
    features = torch.split(images.to(network.dtype), chunk)  # chunks of the rows
    for index in range(network.num_exits):
        features = tuple(network.stage(index, part) for part in features)
        if index < last and not policy.enabled[index]:
            continue
        logits, confidence_logits = _at_head(network, index, features)
        temperature = policy.temperatures[index] if policy.temperatures else 1.0
        at_exit = (logits.float() / temperature).softmax(dim=1)
        if answers is None:
            answers = at_exit.new_zeros(count, at_exit.shape[1])
        if index == last:
            if evaluated and criterion.ruled_out is not None:
                so_far = _table_so_far(probabilities, confidences, costs.select(evaluated))
                out = _on_device(criterion, criterion.ruled_out, so_far)
                at_exit = _without(at_exit, out.double() > policy.thresholds[evaluated[-1]])
            answers[rows] = torch.where(inside[:, None], at_exit, answers[rows])
            break
        evaluated.append(index)
        probabilities.append(at_exit)
        if confidence_logits is not None:
            confidences.append(confidence_logits.float().sigmoid())
        if policy.thresholds[index] >= 1 and not observed:
            continue
        so_far = _table_so_far(probabilities, confidences, costs.select(evaluated))
        score = _on_device(criterion, criterion.score, so_far)
        scores[rows, index] = score
        leaves = inside & (score.double() > policy.thresholds[index])
        exits[rows] = torch.where(leaves, index, exits[rows])
        answers[rows] = torch.where(leaves[:, None], at_exit, answers[rows])
        inside &= ~leaves
        still_inside = inside.nonzero().squeeze(1)  # waits for the device, once at each exit
        if not len(still_inside):
            break
        if engine.drops(len(inside), len(still_inside)):
            features = _shrunk(features, still_inside, inside, chunk)
            probabilities = [array[still_inside] for array in probabilities]
            confidences = [array[still_inside] for array in confidences]
            rows = rows[still_inside]
            inside = torch.ones_like(rows, dtype=torch.bool)
    assert answers is not None
    return _Batch(exits.cpu().numpy(), answers.cpu().numpy(), scores.cpu().numpy())


def _at_head(
    network: Stages, index: int, features: Sequence[Tensor]
) -> tuple[Tensor, Tensor | None]:
    """Return the logits (rows, K) and confidence logits (rows,) of a head on all chunks."""
    outputs = [network.head(index, part) for part in features]
    if len(outputs) == 1:
        return outputs[0].logits, outputs[0].confidence_logit
    confidences = [one.confidence_logit for one in outputs if one.confidence_logit is not None]
    logits = torch.cat([one.logits for one in outputs])
    return logits, torch.cat(confidences) if confidences else None


def _shrunk(
    features: Sequence[Tensor], index: Tensor, mask: Tensor, chunk: int
) -> tuple[Tensor, ...]:
    """Return the rows of all chunks that an index, or a mask of the same rows, chooses.

    Chunks keep their rows, so that those are copied once; neighbours that fit into one are joined.
    """
    if len(features) == 1:
        return (_rows(features[0], index),)
    groups: list[list[Tensor]] = []
    masks = torch.split(mask, [len(part) for part in features])
    for part, chosen in zip(features, masks, strict=True):
        kept = _rows(part, chosen.nonzero().squeeze(1))
        if groups and sum(map(len, groups[-1])) + len(kept) <= chunk:
            groups[-1].append(kept)
        else:
            groups.append([kept])
    return tuple(group[0] if len(group) == 1 else torch.cat(group) for group in groups)


def _rows(features: Tensor, index: Tensor) -> Tensor:
    """Return some rows; of maps with channels last, too, each as one piece of memory."""
    if features.dim() == 4 and features.is_contiguous(memory_format=torch.channels_last):
        return features.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
    return features.index_select(0, index)


def _without(probabilities: Tensor, excluded: Tensor) -> Tensor:
    """Return probabilities (rows, K) without the excluded classes, normalised to add up to 1."""
    left = probabilities.clamp_min(TINY).masked_fill(excluded, 0)
    return left / left.sum(dim=1, keepdim=True)


def _table_so_far(
    probabilities: Sequence[Tensor], confidences: Sequence[Tensor], costs: Costs
) -> ExitTable:
    """Return a table of tensors, which criteria read as they read arrays."""
    count, classes = probabilities[0].shape
    return ExitTable.unchecked(
        probabilities=torch.stack(list(probabilities), dim=1),
        confidence=torch.stack(list(confidences), dim=1) if confidences else None,
        labels=np.full(count, -1),
        ids=np.arange(count),
        costs=costs,
        classes=tuple(map(str, range(classes))),
    )


def _on_device(criterion: Criterion, function: Function, table: ExitTable) -> Tensor:
    """Return a function's values at the last exit of a table of tensors, on their device."""
    last = table.num_exits - 1
    if criterion.array_api:
        values: Any = function(table, last)
        return values  # type: ignore[no-any-return]
    probabilities: Any = table.probabilities
    confidence: Any = table.confidence
    on_host = ExitTable.unchecked(
        **vars(table)
        | {
            "probabilities": _array(probabilities),
            "confidence": None if confidence is None else _array(confidence),
        }
    )
    return torch.from_numpy(function(on_host, last)).to(probabilities.device)
