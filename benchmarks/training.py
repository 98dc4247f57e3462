"""Images per second of the training loop, beside the loop a user would write with torchvision.

    python -m benchmarks.training [--images 3840] [--backbone resnet20] [--rounds 5]

The same network, loss, batch size, augmentation and optimiser on the same machine, in turns: this
project's loop (batched tensors, bfloat16 where the processor has it, channels_last) and a
DataLoader over PIL images with torchvision transforms in float32. Random images: speed does not
depend on what they show. The first pass of each warms up and is not counted; of the others, the
median ratio of a turn is reported.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.report import machine
from core.data.prepared import ImageSet
from core.networks.build import build
from core.training.loop import Trainer
from core.training.recipe import Recipe, parse_recipe


class Pictures(Dataset[tuple[Tensor, int]]):
    """PIL images through torchvision transforms, as in most tutorials."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.pictures = [Image.fromarray(image) for image in images]
        self.labels = labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[index]), int(self.labels[index])


def recipe(backbone: str) -> Recipe:
    """A plain network on CIFAR-10's shapes for two epochs."""
    content = {
        "name": "benchmark",
        "title": "benchmark",
        "method": "plain",
        "dataset": "random",
        "crop_pad": 4,
        "flip": True,
        "network": {
            "backbone": backbone,
            "confidence": False,
            "num_classes": 10,
            "in_channels": 3,
            "image_size": 32,
        },
        "phases": [{"epochs": 2, "learning_rate": 0.1}],
    }
    return parse_recipe(content, "benchmark")


Pass = Callable[[], None]  # once over the images


def ours(backbone: str, train: ImageSet, device: torch.device) -> Pass:
    """The project's loop."""
    trainer = Trainer.of_recipe(recipe(backbone), train, train.select(np.arange(100)), device)
    phase, _ = trainer.settings.phase_at(0)

    def once() -> None:
        trainer._pass_over_data(phase, 0)
        _done(device)

    return once


def theirs(backbone: str, train: ImageSet, device: torch.device) -> Pass:
    """The plain loop."""
    network = build(recipe(backbone).network).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    loader = DataLoader(Pictures(train.images, train.labels), 128, shuffle=True, drop_last=True)

    def once() -> None:
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(images.to(device)).logits[:, -1], labels.to(device))
            loss.backward()
            optimizer.step()
        _done(device)

    return once


def _done(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def speed(once: Pass, images: int) -> float:
    """Images per second of one pass."""
    start = time.perf_counter()
    once()
    return images / (time.perf_counter() - start)


def turns(
    backbone: str, images: int, device: torch.device, rounds: int
) -> list[tuple[float, float]]:
    """Images per second of this project's loop and of the plain one, in turns after a warm-up."""
    random = np.random.default_rng(0)
    train = ImageSet.counted(
        "random",
        "train",
        random.integers(0, 256, (images, 32, 32, 3), np.uint8),
        random.integers(0, 10, images),
        tuple("0123456789"),
    )
    first, second = (make(backbone, train, device) for make in (ours, theirs))
    first()
    second()
    return [(speed(first, images), speed(second, images)) for _ in range(rounds)]


def main() -> None:
    """Measure both and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3840)
    parser.add_argument("--backbone", default="resnet20")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    measured = turns(arguments.backbone, arguments.images, device, arguments.rounds)
    fast, slow = (statistics.median(speeds) for speeds in zip(*measured, strict=True))
    ratios = sorted(mine / plain for mine, plain in measured)
    print(f"{arguments.backbone}, {machine(arguments.device)}")
    print(f"this project   {fast:8.0f} images/s")
    print(f"plain loop     {slow:8.0f} images/s")
    print(f"ratio          {statistics.median(ratios):8.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
