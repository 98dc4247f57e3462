"""How long each part of a network takes to learn from a batch, measured here and now."""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F

from core.edge_cloud.plan import TrainingTimes
from core.networks.build import build
from core.networks.spec import NetworkSpec
from core.training.device import autocast, uses_bfloat16

_PIXELS = 128 * 32 * 32


def usual_batch(image_size: int) -> int:
    """Return a batch size that trains in moments: 128 small images, fewer large ones."""
    return max(2, min(128, _PIXELS // image_size**2))


def time_training(
    spec: NetworkSpec,
    batch_size: int,
    repeats: int = 3,
    precision: str = "auto",
    clock: Callable[[], float] = time.perf_counter,
) -> TrainingTimes:
    """Train a fresh network for a few batches of noise on the CPU, part by part; take medians.

    Args:
        spec: of the network.
        batch_size: B.
        repeats: how many batches the medians are taken of; one more warms up.
        precision: as in a recipe.
        clock: tells the time in seconds.

    Raises:
        UserError: as `build`.
    """
    network = build(spec).to(memory_format=torch.channels_last).train()
    exits = network.num_exits
    stages = [
        [p for block in network.trunk.blocks[start:stop] for p in block.parameters()]
        for start, stop in network.stage_ranges
    ]
    heads = [list(head.parameters()) for head in network.heads.values()]
    optimizers = [
        [torch.optim.SGD(parameters, 0.01, 0.9, nesterov=True) for parameters in parts]
        for parts in (stages, heads)
    ]
    size = (batch_size, spec.in_channels, spec.image_size, spec.image_size)
    images = torch.randn(size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(spec.num_classes, (batch_size,))
    cpu = torch.device("cpu")
    bfloat16 = uses_bfloat16(precision, cpu)
    rounds: list[list[tuple[float, float, float, float]]] = []
    for _ in range(repeats + 1):
        features = images
        rounds.append([])
        for index in range(exits):
            marks = [clock()]
            with autocast(bfloat16, cpu):
                output = network.stage(index, features)
            marks.append(clock())
            read = output.detach().requires_grad_()
            with autocast(bfloat16, cpu):
                loss = F.cross_entropy(network.head(index, read).logits.float(), labels)
            marks.append(clock())
            loss.backward()  # type: ignore[no-untyped-call]
            optimizers[1][index].step()
            marks.append(clock())
            output.backward(read.grad)  # type: ignore[no-untyped-call]
            optimizers[0][index].step()
            marks.append(clock())
            forward, head, learned, back = (after - before for before, after in pairwise(marks))
            rounds[-1].append((forward, back, head, learned))
            for optimizer in (optimizers[0][index], optimizers[1][index]):
                optimizer.zero_grad(set_to_none=True)
            features = output.detach().requires_grad_()
    medians = [
        [statistics.median(times[index][part] for times in rounds[1:]) for index in range(exits)]
        for part in range(4)
    ]
    return TrainingTimes(batch_size, torch.get_num_threads(), *map(tuple, medians))
