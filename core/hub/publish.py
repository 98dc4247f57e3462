"""From a finished training run to a model folder: tables, operating points, card."""

import os
import platform
from pathlib import Path

import torch
from torch import nn

from core.data.splits import check_disjoint, load_split
from core.edge_cloud.traffic import EdgeCloudFacts
from core.exits.inference import BATCH_SIZE, run_all_exits
from core.exits.table import ExitTable
from core.exits.table_file import as_stored
from core.foundation.errors import UserError
from core.hub.card import (
    Card,
    Plain,
    TrainingFacts,
)
from core.hub.operating_points import with_figures
from core.hub.registry import card_of
from core.hub.storage import write_model
from core.networks.cost import count
from core.networks.network import ExitNetwork
from core.training.loop import TrainingResult
from core.training.recipe import Recipe


def publish(
    recipe: Recipe,
    network: ExitNetwork,
    result: TrainingResult,
    folder: Path,
    data: Path | None,
    device: str = "cpu",
    command: str | None = None,
    edge_cloud: EdgeCloudFacts | None = None,
) -> Card:
    """Measure a trained network on its calibration and test splits and write its model folder.

    Policies are chosen on the calibration split; the test split is only reported on.

    Args:
        recipe: what was trained.
        network: what came of it; its weights are rounded in place.
        result: the facts of the training.
        folder: becomes the model's folder.
        data: root of the prepared data sets.
        device: "cpu" or "cuda".
        command: how to do it again, by default that of the shipped recipe.
        edge_cloud: what two workers measured while they trained it.

    Raises:
        UserError: the data set is missing, its test images were used for calibration, or the
            weights are not finite.
    """
    round_weights(network)
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise UserError(
                f"expected the trained weights to be finite, but {name} is not: train again with a "
                'lower `learning_rate`, or with precision = "float32".'
            )
    spec = network.spec
    cost = count(network, spec.in_channels, spec.image_size)
    place = torch.device(device)
    assert result.normalisation is not None  # a recipe's images come as bytes
    network, normalisation = network.to(place), result.normalisation.to(place)
    calibration = load_split(recipe.dataset, "calibration", data)
    test = load_split(recipe.dataset, "test", data)
    check_disjoint(calibration, test)
    tables = {}
    classes = test.classes
    for split, images in (("calibration", calibration), ("test", test)):
        batches = normalisation.batches(images.images, BATCH_SIZE)
        probabilities, confidence = run_all_exits(network, batches)
        table = ExitTable(
            probabilities=probabilities,
            confidence=confidence,
            labels=images.labels,
            ids=images.ids,
            costs=cost.costs,
            classes=classes,
        )
        tables[split] = as_stored(table)  # what a policy reads must be there for whoever uses it
    card = Card(
        name=recipe.name,
        title=recipe.title,
        method=recipe.method,
        dataset=recipe.dataset,
        spec=spec,
        exit_names=network.exit_names,
        classes=classes,
        mean=normalisation.mean,
        std=normalisation.std,
        stage_macs=cost.stage_macs,
        head_macs=cost.head_macs,
        stage_parameters=cost.stage_parameters,
        head_parameters=cost.head_parameters,
        plain=_plain(recipe),
        training=TrainingFacts(
            recipe=recipe.model_dump(mode="json", exclude_none=True),
            best_epoch=result.best_epoch,
            epochs=len(result.history),
            seconds=result.seconds,
            hardware=_hardware(device),
            bfloat16=result.bfloat16,
            workers=result.workers,
            edge_cloud=edge_cloud,
        ),
        command=command or f"python -m core train {recipe.name}",
    )
    return write_model(folder, network.cpu(), with_figures(card, tables), tables)


@torch.no_grad()
def round_weights(network: nn.Module) -> None:
    """Round matrices and filters to half precision, in place: files of half the size.

    Before anything is measured, so that all figures are those of the weights in the file. Vectors
    (biases, batch statistics) take no space, and the latter's range is too wide.
    """
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.copy_(parameter.half())


def _plain(recipe: Recipe) -> Plain | None:
    if recipe.plain is None:
        return None
    accuracy = card_of(recipe.plain).per_exit_accuracy
    return Plain(
        name=recipe.plain,
        calibration_accuracy=accuracy["calibration"][-1],
        test_accuracy=accuracy["test"][-1],
    )


def _hardware(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    plural = "" if threads == 1 else "s"
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {threads} thread{plural}"
