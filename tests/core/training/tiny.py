"""Short recipes on generated images, for tests of training."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.data.prepared import ImageSet, write_prepared
from core.training.recipe import Recipe, parse_recipe


def tiny_recipe(phases: list[dict[str, Any]] | None = None, **changes: Any) -> Recipe:
    content: dict[str, Any] = {
        "name": "tiny",
        "title": "Tiny",
        "method": "eenet",
        "dataset": "bars",
        "batch_size": 16,
        "crop_pad": 1,
        "precision": "float32",
        "network": {
            "backbone": "eenet8-narrow",
            "exits": ["block1", "block2"],
            "num_classes": 2,
            "in_channels": 1,
            "image_size": 8,
        },
        "phases": phases or [{"epochs": 2, "learning_rate": 0.1}],
    }
    return parse_recipe(content | changes, "tiny.toml")


def bars(count: int, seed: int) -> ImageSet:
    """Noisy horizontal (class 0) and vertical (class 1) bars."""
    random = np.random.default_rng(seed)
    labels = random.integers(2, size=count)
    images = random.integers(0, 100, (count, 8, 8, 1))
    for image, label, place in zip(images, labels, random.integers(1, 7, count), strict=True):
        image[place] += 120 * (label == 0)
        image[:, place] += 120 * (label == 1)
    return ImageSet.counted(
        "bars", "train", images.astype(np.uint8), labels, ("horizontal", "vertical")
    )


def write_bars(root: Path, train: int = 200, test: int = 60) -> None:
    """Write the data set of the recipes under a data root."""
    for images, file in ((bars(train, 0), "train"), (bars(test, 1), "test")):
        write_prepared("bars", file, images.images, images.labels, images.classes, root)  # type: ignore[arg-type]


def same_weights(network: nn.Module, other: nn.Module) -> None:
    """Assert that two networks have the same weights and statistics, to the bit."""
    theirs = other.state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
