"""Where a model's weights come from, as its card tells it."""

import os
import platform

import torch

from core.edge_cloud.traffic import EdgeCloudFacts
from core.hub.card import TrainingFacts
from core.training.loop import TrainingResult


def training_facts(
    result: TrainingResult, device: str, edge_cloud: EdgeCloudFacts | None = None
) -> TrainingFacts:
    """Return the facts of a training for a card.

    Args:
        result: what the training left.
        device: where it ran: "cpu" or "cuda".
        edge_cloud: what two workers measured meanwhile.
    """
    return TrainingFacts(
        recipe=result.settings.model_dump(mode="json", exclude_none=True),
        best_epoch=result.best_epoch,
        epochs=len(result.history),
        seconds=result.seconds,
        hardware=_hardware(device),
        bfloat16=result.bfloat16,
        workers=result.workers,
        edge_cloud=edge_cloud,
    )


def _hardware(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    plural = "" if threads == 1 else "s"
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {threads} thread{plural}"
