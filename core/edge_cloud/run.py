"""A whole run of the edge worker and of the cloud worker, with checkpoints on both sides.

Between two epochs the workers exchange their halves. So whoever is left when the other dies holds
a whole checkpoint, and whoever comes back with less is brought up to date.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from core.data.splits import load_split
from core.edge_cloud.cloud import CloudTrainer
from core.edge_cloud.edge import EdgeTrainer
from core.edge_cloud.halves import checked, hollow_network
from core.edge_cloud.link import Link, PeerLostError, Role, Wire
from core.edge_cloud.traffic import EpochTraffic, batch_bytes
from core.foundation.errors import UserError
from core.networks.network import ExitNetwork
from core.training.checkpoint import (
    BEST,
    LATEST,
    Checkpoint,
    earlier_run,
    load_checkpoint,
    save_checkpoint,
    save_epoch,
)
from core.training.progress import EpochReport
from core.training.recipe import Recipe
from core.training.start_from import Find, find_nothing

Meeting = AbstractContextManager[Wire]
"""Meets the other worker when it is entered, and gives the wire to it."""
OnEpoch = Callable[[EpochReport, EpochTraffic], None]


def run_edge(
    recipe: Recipe,
    folder: Path,
    meeting: Meeting,
    *,
    data: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    on_epoch: OnEpoch = lambda report, traffic: None,
    find: Find = find_nothing,
) -> tuple[ExitNetwork, list[EpochTraffic]]:
    """Train as the edge worker, to the end.

    Args:
        recipe: what to train, with `edge_cloud`; the cloud worker needs the same.
        folder: for this side's ``checkpoint.safetensors`` and ``best.safetensors``.
        meeting: entered when everything is ready.
        data: root of the prepared data sets.
        resume: go on from the newest checkpoint that either side has.
        device: "cpu" or "cuda".
        on_epoch: called after each epoch.
        find: looks up the trained networks that the recipe builds on.

    Returns:
        The network, with the weights of its best epoch on calibration, and what the run cost.

    Raises:
        UserError: no data, a recipe that cannot be split, an earlier run that would be
            overwritten, or the cloud worker is gone.
    """
    latest = folder / LATEST
    known = earlier_run(folder, resume)
    train_set = load_split(recipe.dataset, "train", data)
    calibration = load_split(recipe.dataset, "calibration", data)
    place = torch.device(device)
    trainer = EdgeTrainer.of_recipe(recipe, train_set, calibration, place, find=find)
    if known:
        trainer.restore(load_checkpoint(latest), str(latest))
    with meeting as wire, _survived(folder, recipe):
        trainer.link = link = Link(wire, checked(recipe).rate)
        batches = {"steps": trainer.train.steps, "batch_size": trainer.train.batch_size}
        theirs = _introduce(link, "edge", recipe, trainer.epoch, resume, **batches)
        if _level(link, folder, trainer.epoch, theirs["epoch"]):
            trainer.restore(load_checkpoint(latest), str(latest))
        link.send_state(trainer.half_of("cloud"))
        for report in trainer.epochs():
            save_epoch(folder, trainer.checkpoint())
            link.send_state(trainer.half_of("edge"))
            on_epoch(report, trainer.traffic[-1])
        link.hear()  # that the cloud worker has kept the last epoch too
    network = trainer.finished(folder)
    network.training_result = replace(network.training_result, workers=2)
    return network, trainer.traffic


def run_cloud(
    recipe: Recipe,
    folder: Path,
    meeting: Meeting,
    *,
    resume: bool = False,
    device: str = "cpu",
) -> None:
    """Train as the cloud worker, to the end. It needs no data set.

    Args:
        recipe: as the edge worker has it.
        folder: for this side's checkpoints.
        meeting: entered when everything is ready.
        resume: go on from the newest checkpoint that either side has.
        device: "cpu" or "cuda".

    Raises:
        UserError: a recipe that cannot be split or is not the edge's, an earlier run that would
            be overwritten, or the edge worker is gone.
    """
    known = earlier_run(folder, resume)
    trainer = CloudTrainer(recipe, torch.device(device))
    epoch = load_checkpoint(folder / LATEST).facts["epoch"] if known else 0
    with meeting as wire, _survived(folder, recipe):
        link = Link(wire, checked(recipe).rate)
        theirs = _introduce(link, "cloud", recipe, epoch, resume)
        _level(link, folder, epoch, theirs["epoch"])
        trainer.restore(link.receive_state())
        for current in range(max(epoch, theirs["epoch"]), recipe.epochs):
            figures = trainer.train_epoch(link, current, theirs["steps"], theirs["batch_size"])
            half = trainer.half()
            link.tell(figures)
            link.send_state(half)
            edges = link.receive_state()
            save_epoch(folder, Checkpoint(edges.tensors | half.tensors, edges.facts))
        link.tell({})


def answer_seconds(recipe: Recipe, patience: float) -> float:
    """Return how long the other side may take to answer: longer, the slower the link."""
    chosen = checked(recipe)
    if chosen.rate is None:
        return patience
    network, _, shape = hollow_network(recipe)
    batch = batch_bytes(recipe.batch_size, shape, chosen.bits, recipe.network.num_classes)
    state = sum(4 * 3 * parameter.numel() for parameter in network.parameters())  # Adam keeps two
    return patience + 8 * max(batch, state) / chosen.rate


def _introduce(
    link: Link, role: Role, recipe: Recipe, epoch: int, resume: bool, **more: int
) -> dict[str, Any]:
    """Tell who we are and hear who they are; both sides notice what does not fit."""
    ours: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json"),
        "epoch": epoch,
        "resume": resume,
        **more,
    }
    if role == "edge":  # a side that sends waits until the other receives, so the edge begins
        link.tell(ours)
        theirs = link.hear()
    else:
        theirs = link.hear()
        link.tell(ours)
    if theirs["recipe"] != ours["recipe"]:
        fields = [
            name for name in ours["recipe"] if theirs["recipe"].get(name) != ours["recipe"][name]
        ]
        raise UserError(
            f"expected both workers to have the same recipe, but theirs differs in "
            f"{', '.join(fields) or 'what it may say'}: start both with the same recipe and "
            "options, from the same version of this project."
        )
    if theirs["resume"] != resume:
        raise UserError(
            "expected --resume on both sides or on neither, but one has it: start both alike."
        )
    return theirs


def _level(link: Link, folder: Path, ours: int, theirs: int) -> bool:
    """Bring the side with the older checkpoint up to date; return whether it is this side."""
    for name in (BEST, LATEST):
        if ours > theirs:
            link.send_state(load_checkpoint(folder / name))
        elif theirs > ours:
            save_checkpoint(folder / name, link.receive_state())
    return theirs > ours


@contextmanager
def _survived(folder: Path, recipe: Recipe) -> Iterator[None]:
    """Say what is left and what to do when the other worker is gone."""
    try:
        yield
    except PeerLostError as lost:
        latest = folder / LATEST
        if not latest.exists():
            raise PeerLostError(
                f"{lost}, and the first epoch was not finished: start both sides again."
            ) from None
        epoch = load_checkpoint(latest).facts["epoch"]
        raise PeerLostError(
            f"{lost}; {latest} keeps what both halves had learned after epoch {epoch} of "
            f"{recipe.epochs}: start both sides again with --resume."
        ) from None
