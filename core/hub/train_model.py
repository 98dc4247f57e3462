"""From a recipe to a model folder: train, measure, publish."""

import os
from collections.abc import Callable
from pathlib import Path

from core.edge_cloud.run import Meeting, OnEpoch, run_edge
from core.edge_cloud.traffic import mean_traffic
from core.foundation.errors import UserError
from core.hub.card import Card
from core.hub.model import trained
from core.hub.premise import OnNote
from core.hub.publish import publish
from core.hub.registry import CARD, card_of
from core.training.checkpoint import LATEST
from core.training.device import checked_device
from core.training.loop import train
from core.training.progress import EpochReport
from core.training.recipe import Recipe


def leads() -> bool:
    """Return whether this process writes files and reports: it is alone, or torchrun's rank 0."""
    return os.environ.get("RANK", "0") == "0"


def train_model(
    recipe: Recipe,
    run: Path,
    *,
    model: Path | None = None,
    data: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    command: str | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    should_stop: Callable[[], bool] = lambda: False,
    on_note: OnNote = lambda note: None,
) -> Card | None:
    """Train a recipe and publish the model.

    The recipe's `plain`, `start_from` and `teacher` name shipped models or model folders.

    Args:
        recipe: to train.
        run: folder for checkpoints.
        model: folder for the model; by default ``run/model``.
        data: root of the prepared data sets.
        resume: whether to continue an earlier run.
        device: "cpu" or "cuda".
        command: that trains the model again, for the card; by default `core train` with the
            recipe's name.
        on_epoch: called after each epoch.
        should_stop: called after each epoch; True ends the training there.
        on_note: see `publish`.

    Returns:
        The model's card, or None in a process that does not `lead`.

    Raises:
        UserError: what `train` and `publish` raise; a recipe for an edge and a cloud worker.
    """
    check_trainable(recipe)
    checked_device(device)
    check_free(model or run / "model", run)
    network = train(
        recipe,
        run,
        data=data,
        resume=resume,
        device=device,
        on_epoch=on_epoch,
        should_stop=should_stop,
        find=trained,
    )
    if not leads():
        return None
    return publish(network, model or run / "model", data, device, command, on_note=on_note)


def check_trainable(recipe: Recipe) -> None:
    """Raise `UserError` unless one process can train the recipe and its plain network is known."""
    if recipe.edge_cloud is not None:
        raise UserError(
            f"expected a recipe that one process trains, but {recipe.name} is for an edge and a "
            "cloud worker: use `python -m core edge-cloud train`."
        )
    if recipe.plain is not None:
        card_of(recipe.plain)  # fail now rather than after the training


def check_free(model: Path, run: Path) -> None:
    """Raise `UserError` where a model would be replaced by one of another run."""
    if (model / CARD).exists() and not (run / LATEST).exists():
        raise UserError(
            f"expected {model} to be free or the model of this run, but it is a model without a "
            "checkpoint beside it, which training would replace: choose another folder, or move it."
        )


def train_edge_model(
    recipe: Recipe,
    run: Path,
    meeting: Meeting,
    *,
    data: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    command: str | None = None,
    on_epoch: OnEpoch = lambda report, traffic: None,
    on_note: OnNote = lambda note: None,
) -> Card:
    """Train a recipe as the edge worker, see `run_edge`, and publish the model.

    Checkpoints are kept in ``run/edge``; the model's folder is ``run/model``.
    """
    check_free(run / "model", run / "edge")
    network, traffic = run_edge(
        recipe,
        run / "edge",
        meeting,
        data=data,
        resume=resume,
        device=device,
        on_epoch=on_epoch,
        find=trained,
    )
    assert recipe.edge_cloud is not None
    facts = mean_traffic(recipe.edge_cloud, traffic)
    return publish(network, run / "model", data, device, command, facts, on_note)
