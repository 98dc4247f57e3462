"""What should a confidence branch read, and which loss should teach it?

    python -m benchmarks.confidence_inputs [MODEL]

The exits of a trained model stay as they are; for each input and loss, linear confidence
branches learn anew on what the exits say of training images, and are judged on calibration: AUROC
of "this answer is right" at each early exit, and accuracy within a relative cost of 60 % and 70 %.
"""

import sys
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.splits import load_split
from core.exits.report import evaluate
from core.exits.table import ExitTable
from core.hub.model import Model, load
from core.networks.confidence import CONFIDENCE_INPUTS
from core.training.losses import LOSSES, LossInputs
from core.tuning.front import best_within_cost, front

IMAGES, EPOCHS, BATCH = 15_000, 6, 128
LESSONS = (("v2", 0.1), ("v2", 0.3), ("v2", 1.0), ("correctness", 0.0))
BUDGETS = (0.6, 0.7)


@torch.no_grad()
def said(model: Model, images: NDArray[np.uint8]) -> tuple[list[Tensor], Tensor]:
    """Return what each early exit's branches read (N, D), and all logits (N, E, K)."""
    network, card = model.network, model.card
    read: list[list[Tensor]] = [[] for _ in range(card.num_exits - 1)]
    logits = []
    for batch in model.normalisation.batches(images, 500):
        features, answers = batch, []
        for index, name in enumerate(card.exit_names):
            features = network.stage(index, features)
            seen = network.heads[name].reader(features)  # type: ignore[operator, union-attr]
            answers.append(network.heads[name].softmax_branch(seen))  # type: ignore[operator, union-attr]
            if index < card.num_exits - 1:
                read[index].append(seen)
        logits.append(torch.stack(answers, dim=1))
    return [torch.cat(part) for part in read], torch.cat(logits)


def learned(
    name: str, loss: str, price: float, read: list[Tensor], logits: Tensor, labels: Tensor,
    costs: Tensor,
) -> list[nn.Linear]:  # fmt: skip
    """Train one linear branch per early exit."""
    torch.manual_seed(0)
    kind = CONFIDENCE_INPUTS[name]
    branches = [nn.Linear(kind.width(part.shape[1]), 1) for part in read]
    inputs = [kind.read(part, logits[:, index]) for index, part in enumerate(read)]
    parameters = [parameter for branch in branches for parameter in branch.parameters()]
    optimizer = torch.optim.SGD(parameters, 0.02, momentum=0.9, nesterov=True)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(labels)).split(BATCH):
            pairs = zip(branches, inputs, strict=True)
            confidence = torch.cat([branch(part[rows]) for branch, part in pairs], dim=1)
            weights = torch.ones(logits.shape[1])
            batch = LossInputs(logits[rows], confidence, labels[rows], costs, price, weights)
            optimizer.zero_grad()
            LOSSES[loss](batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return branches


def main(name: str = "pteenet20-cifar10") -> None:
    """Print a table."""
    model = load(name)
    card = model.card
    train, calibration = (load_split(card.dataset, split) for split in ("train", "calibration"))
    read, logits = said(model, train.images[:IMAGES])
    labels = torch.from_numpy(train.labels[:IMAGES])
    judged_read, judged = said(model, calibration.images)
    table = ExitTable(
        probabilities=judged.softmax(dim=2).numpy(),
        confidence=None,
        labels=calibration.labels,
        ids=calibration.ids,
        costs=card.costs,
        classes=card.classes,
    )
    costs = torch.tensor(table.costs.at_exits(), dtype=torch.float32)
    for name in CONFIDENCE_INPUTS:
        for loss, price in LESSONS:
            branches = learned(name, loss, price, read, logits, labels, costs)
            with torch.no_grad():
                confidence = [
                    branch(CONFIDENCE_INPUTS[name].read(part, judged[:, index])).sigmoid()
                    for index, (branch, part) in enumerate(zip(branches, judged_read, strict=True))
                ]
            both = replace(table, confidence=torch.cat(confidence, dim=1).numpy())
            show(f"{name:9} {loss:12} λ {price:<4g}", both, "confidence")
    show("max probability", table, "max_probability")


def show(title: str, table: ExitTable, criterion: str) -> None:
    """Print a line."""
    found = front(table, criterion)
    auroc = evaluate(table, found.policy(len(found) - 1)).auroc[:-1]
    accuracies = [evaluate(table, best_within_cost([found], budget)).accuracy for budget in BUDGETS]
    print(
        f"{title:30} AUROC {' '.join(f'{value:.3f}' for value in auroc)}   accuracy "
        + "  ".join(
            f"{accuracy:.2%} at {budget:.0%}"
            for budget, accuracy in zip(BUDGETS, accuracies, strict=True)
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
