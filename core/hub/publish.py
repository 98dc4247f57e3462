"""From a finished training run to a model folder: tables, operating points, card."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from core.data.prepared import check_disjoint
from core.data.splits import load_split
from core.edge_cloud.traffic import EdgeCloudFacts
from core.foundation.errors import UserError
from core.hub.card import Card, Plain
from core.hub.model import Model
from core.hub.premise import OnNote
from core.hub.registry import card_of
from core.networks.network import ExitNetwork
from core.networks.packing import pack, unpack
from core.training.recipe import Recipe


def publish(
    network: ExitNetwork,
    folder: Path,
    data: Path | None,
    device: str = "cpu",
    command: str | None = None,
    edge_cloud: EdgeCloudFacts | None = None,
    on_note: OnNote = lambda note: None,
) -> Card:
    """Measure a trained network on its calibration and test splits and write its model folder.

    Policies are chosen on the calibration split; the test split is only reported on.

    Args:
        network: trained from a recipe; its weights are rounded in place.
        folder: for the model.
        data: root of the prepared data sets.
        device: "cpu" or "cuda".
        command: that trains the model again; by default that of the shipped recipe.
        edge_cloud: measured by two workers, if they trained.
        on_note: told what the calibration images cannot carry, see `core.hub.premise`.

    Raises:
        UserError: the data set is missing, its test images were used for calibration, or the
            weights are not finite.
    """
    recipe = network.training_result.settings
    assert isinstance(recipe, Recipe)
    round_weights(network, recipe.weight_bits)
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise UserError(
                f"expected the trained weights to be finite, but {name} is not: train again with a "
                'lower `learning_rate`, or with precision = "float32".'
            )
    calibration = load_split(recipe.dataset, "calibration", data)
    test = load_split(recipe.dataset, "test", data)
    check_disjoint(calibration, test)
    model = Model.of(
        network.to(torch.device(device)),
        test.classes,
        name=recipe.name,
        title=recipe.title,
        dataset=recipe.dataset,
        method=recipe.method,
    )
    assert model.card.training is not None
    facts = {
        "plain": _plain(recipe),
        "training": model.card.training.model_copy(update={"edge_cloud": edge_cloud}),
        "command": command or f"python -m core train {recipe.name}",
    }
    model = replace(model, card=model.card.model_copy(update=facts))
    return model.save(folder, calibration, test, on_note=on_note).card


@torch.no_grad()
def round_weights(network: nn.Module, bits: int = 16) -> None:
    """Round matrices and filters, in place, to half precision or to what eight bits hold.

    This comes before any measurement, so that all figures are those of the weights in the file.
    Vectors (biases, batch statistics) stay: they are small, and the latter's range is too wide.
    """
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.copy_(parameter.half())
            pair = pack(parameter) if bits == 8 else None
            if pair is not None:
                parameter.copy_(unpack(*pair))


def _plain(recipe: Recipe) -> Plain | None:
    if recipe.plain is None:
        return None
    accuracy = card_of(recipe.plain).exit_accuracy
    return Plain(
        name=recipe.plain,
        calibration_accuracy=accuracy("calibration")[-1],
        test_accuracy=accuracy("test")[-1],
    )
