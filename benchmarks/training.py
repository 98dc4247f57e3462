"""Images per second of the training loop, beside the loop a user would write with torchvision.

    python -m benchmarks.training [--images 3840] [--backbone resnet20]

The same network, loss, batch size, augmentation and optimiser on the same machine, one after the
other: this project's loop (batched tensors, bfloat16 where the processor has it, channels_last)
and a DataLoader over PIL images with torchvision transforms in float32. Random images: speed does
not depend on what they show. The first batches of both warm up and are not counted.
"""

import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from core.data.prepared import ImageSet
from core.nets.build import build
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


def ours(backbone: str, train: ImageSet, device: torch.device) -> float:
    """Images per second of the project's loop."""
    trainer = Trainer(recipe(backbone), train, train.select(np.arange(100)), device)
    trainer.train_epoch()
    start = time.perf_counter()
    phase, within = trainer.recipe.phase_at(1)
    trainer._pass_over_data(phase, within)
    return len(train) / (time.perf_counter() - start)


def theirs(backbone: str, train: ImageSet, device: torch.device) -> float:
    """Images per second of the plain loop."""
    network = build(recipe(backbone).network).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    loader = DataLoader(Pictures(train.images, train.labels), 128, shuffle=True, drop_last=True)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(images.to(device)).logits[:, -1], labels.to(device))
            loss.backward()
            optimizer.step()
        seconds = time.perf_counter() - start
    return len(train) / seconds


def main() -> None:
    """Measure both and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3840)
    parser.add_argument("--backbone", default="resnet20")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    train = ImageSet.counted(
        "random",
        "train",
        random.integers(0, 256, (arguments.images, 32, 32, 3), np.uint8),
        random.integers(0, 10, arguments.images),
        tuple("0123456789"),
    )
    device = torch.device(arguments.device)
    fast = ours(arguments.backbone, train, device)
    slow = theirs(arguments.backbone, train, device)
    print(f"{arguments.backbone}, {torch.get_num_threads()} threads, {device}")
    print(f"this project   {fast:8.0f} images/s")
    print(f"plain loop     {slow:8.0f} images/s")
    print(f"ratio          {fast / slow:8.2f}")


if __name__ == "__main__":
    main()
