"""What should the first exit's own layers be?

    python -m benchmarks.heads

For each place and kind of head, a trained plain network's blocks up to there and a fresh head learn
to answer, alone, for a few epochs on a part of the training images. Printed: the compute up to that
exit, and its accuracy on calibration.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data.splits import load_split
from core.hub.model import load
from core.networks.cost import counted
from core.networks.heads import Head
from core.networks.normalisation import Normalisation, to_device
from core.training.augment import CropAndFlip

MODEL = "airbench-large-cifar10"
IMAGES, EPOCHS, BATCH, RATE = 15_000, 6, 256, 0.1
CANDIDATES = (
    ("group1_2", "strided128-256"),
    ("group1_1", "deep96-96-192"),
    ("group1_2", "deep64-64-64-128"),
    ("group1_2", "deep96-96-192"),
)
CPU = torch.device("cpu")


def main() -> None:
    """Print a line per candidate."""
    model = load(MODEL)
    spec, trunk = model.card.spec, model.network.trunk
    train, calibration = (load_split(model.card.dataset, one) for one in ("train", "calibration"))
    crops = CropAndFlip(to_device(train.images[:IMAGES], CPU), pad=3, flip=True)
    labels = torch.from_numpy(train.labels[:IMAGES])
    expected = torch.from_numpy(calibration.labels)
    shapes = trunk.output_shapes(spec.in_channels, spec.image_size)
    image = torch.zeros(1, spec.in_channels, spec.image_size, spec.image_size)

    for place, kind in CANDIDATES:
        torch.manual_seed(0)
        block = trunk.names.index(place)
        head = Head(kind, shapes[block], spec.num_classes)
        exit_alone = nn.Sequential(copy.deepcopy(trunk.blocks[: block + 1]), head)
        cost = counted(exit_alone.eval(), image)[0] / model.card.plain_macs
        learn(exit_alone.to(memory_format=torch.channels_last), crops, labels, model.normalisation)
        right = 0
        batches = model.normalisation.batches(calibration.images, 500)
        for images, known in zip(batches, expected.split(500), strict=True):
            right += int((answer(exit_alone, images).argmax(dim=1) == known).sum())
        print(f"{place:9} {kind:18} {cost:6.1%}  {right / len(calibration):.1%}", flush=True)


def learn(
    exit_alone: nn.Module,
    crops: CropAndFlip,
    labels: Tensor,
    normalisation: Normalisation,
) -> None:
    """Train for all epochs, at a rate that falls to nothing."""
    optimizer = torch.optim.SGD(
        exit_alone.parameters(), RATE, 0.85, weight_decay=1e-3, nesterov=True
    )
    steps = EPOCHS * (IMAGES // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(0)
    exit_alone.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(IMAGES, generator=generator).split(BATCH)[: IMAGES // BATCH]:
            (drawn,) = crops.draw(1, len(rows), generator)
            logits = answer(exit_alone, normalisation(crops.batch(rows, drawn)))
            optimizer.zero_grad()
            F.cross_entropy(logits, labels[rows], label_smoothing=0.1).backward()
            optimizer.step()
            schedule.step()
    exit_alone.eval()


def answer(exit_alone: nn.Module, images: Tensor) -> Tensor:
    """Return logits (B, K) in float32."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits: Tensor = exit_alone(images).logits
    return logits.float()


if __name__ == "__main__":
    main()
