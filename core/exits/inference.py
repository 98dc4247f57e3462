"""Inference: all exits for a table, or only the stages that a policy needs."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.exits.cost_controller import CostController
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.table import BoolArray, CostArray, ExitTable, FloatArray, IntArray
from core.foundation.costs import Costs
from core.networks.network import ExitNetwork

BATCH_SIZE = 256
COMPACTION_SHARE = 1 / 8
"""Samples that left are dropped from the batch once they make up this share of its rows.

Copying the other rows takes time: at every exit, where few samples leave, a sixth of the run.
"""


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
        outputs = network(images)
        probabilities.append(_array(outputs.logits.softmax(dim=2)))
        if outputs.confidence_logits is not None:
            confidences.append(_array(outputs.confidence_logits.sigmoid()))
    confidence = np.concatenate(confidences) if confidences else None
    return np.concatenate(probabilities), confidence


@torch.inference_mode()
def run_with_skipping(
    network: ExitNetwork,
    batches: Iterable[Tensor],
    policy: Policy | CostController,
    costs: Costs,
    on_batch: Callable[[int], None] = lambda done: None,
) -> Prediction:
    """Run each stage only for the samples that are still inside, at any batch size.

    Answers, exits and costs equal those of `core.exits.routing.route` on the table of the same
    images, except for scores within float tolerance of a threshold. Heads of disabled exits are
    not computed.

    Args:
        network: in eval mode.
        batches: normalised images (B, C, H, W) on the network's device.
        policy: decides which sample leaves where; a controller does so by another policy for
            every batch, and goes on from where it stands.
        costs: of the network's stages and heads.
        on_batch: called after each batch with the number of images done.

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
        parts.append(_run_batch(network, images, current, costs))
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


def _run_batch(network: ExitNetwork, images: Tensor, policy: Policy, costs: Costs) -> _Batch:
    criterion = CRITERIA[policy.criterion]
    last = network.num_exits - 1
    exits: IntArray = np.full(len(images), last, np.int64)
    scores: FloatArray = np.zeros((len(images), last), np.float32)
    answers: FloatArray | None = None  # (B, K)
    rows: IntArray = np.arange(len(images))  # sample of each row of the features
    inside: BoolArray = np.ones(len(images), bool)  # rows whose sample has not left
    evaluated: list[int] = []
    probabilities: list[FloatArray] = []  # of the exits evaluated so far, (rows, K) each
    confidences: list[FloatArray] = []
    features = images
    for index in range(network.num_exits):
        features = network.stage(index, features)
        if index < last and not policy.enabled[index]:
            continue
        output = network.head(index, features)
        temperature = policy.temperatures[index] if policy.temperatures else 1.0
        at_exit = _array((output.logits / temperature).softmax(dim=1))
        if answers is None:
            answers = np.zeros((len(images), at_exit.shape[1]), np.float32)
        if index == last:
            if evaluated and criterion.ruled_out is not None:
                so_far = _table_so_far(probabilities, confidences, costs.select(evaluated))
                out = criterion.ruled_out(so_far, len(evaluated) - 1)
                excluded = out > np.float64(policy.thresholds[evaluated[-1]])
                at_exit = _without(at_exit, excluded)
            answers[rows[inside]] = at_exit[inside]
            break
        evaluated.append(index)
        probabilities.append(at_exit)
        if output.confidence_logit is not None:
            confidences.append(_array(output.confidence_logit.sigmoid()))
        so_far = _table_so_far(probabilities, confidences, costs.select(evaluated))
        score = criterion.score(so_far, len(evaluated) - 1)
        scores[rows, index] = score
        leaves = inside & (score > np.float64(policy.thresholds[index]))
        exits[rows[leaves]] = index
        answers[rows[leaves]] = at_exit[leaves]
        inside &= ~leaves
        if not inside.any():
            break
        if np.count_nonzero(~inside) >= COMPACTION_SHARE * len(inside):
            features = features[torch.from_numpy(np.flatnonzero(inside)).to(features.device)]
            probabilities = [array[inside] for array in probabilities]
            confidences = [array[inside] for array in confidences]
            rows = rows[inside]
            inside = np.ones(len(rows), bool)
    assert answers is not None
    return _Batch(exits, answers, scores)


def _without(probabilities: FloatArray, excluded: BoolArray) -> FloatArray:
    """Return probabilities (rows, K) without the excluded classes, normalised to add up to 1."""
    left = np.where(excluded, 0, np.maximum(probabilities, np.finfo(np.float32).tiny))
    kept: FloatArray = left / left.sum(axis=1, keepdims=True)
    return kept


def _table_so_far(
    probabilities: Sequence[FloatArray],
    confidences: Sequence[FloatArray],
    costs: Costs,
) -> ExitTable:
    count, classes = probabilities[0].shape
    return ExitTable.unchecked(
        probabilities=np.stack(probabilities, axis=1),
        confidence=np.stack(confidences, axis=1) if confidences else None,
        labels=np.full(count, -1),
        ids=np.arange(count),
        costs=costs,
        classes=tuple(map(str, range(classes))),
    )
