"""This project beside the authors' own EENet code: the same network, exits and threshold.

    git clone https://github.com/eksuas/eenets.pytorch DIR
    python -m benchmarks.official_eenet --code DIR [--networks eenet20 eenet110]
                                        [--images N] [--threads N] [--update docs/speed.md]

Their code makes the network, and its weights go into ours, which has its exits after the same
blocks. The network is not trained: its batch norms have the statistics of some images, and the
biases of its confidence branches are such that equally many images leave at each exit. The
threshold is theirs, one for all exits. Their code runs one image at a time, already normalised;
ours reads bytes. All run in turns. Answers and exits are compared on all images.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.report import add_update, machine, publish
from core.data.splits import load_split
from core.deploy.benchmark import evenly_spaced, latencies
from core.deploy.runtimes import RUNTIMES, configurations, opened
from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.foundation.markdown import markdown_table
from core.hub.model import PRECISIONS, Model
from core.networks.build import build
from core.networks.network import ExitNetwork
from core.networks.spec import NetworkSpec

BATCHES = (256, 1)
EXITS = 3
FOR_STATISTICS = 256
"""Images that the batch norms are measured on."""
REPEATS = 5


def official(code: Path, name: str) -> Any:
    """Make a network by the authors' code: three exits that read pooled features.

    Raises:
        UserError: the folder does not hold their code.
    """
    if not (code / "eenet.py").is_file():
        raise UserError(f"expected eenet.py of the authors' repository in {code}, but it is not.")
    sys.path.insert(0, str(code))
    torch.manual_seed(0)
    make = getattr(importlib.import_module("eenet"), name)
    return make(
        num_ee=EXITS,
        distribution="pareto",
        num_classes=10,
        input_shape=(3, 32, 32),
        exit_type="pool",
        loss_func="v2",
    )


def ours(theirs: Any) -> ExitNetwork:
    """Build the same network with the same weights."""
    layers = [list(stage.children()) for stage in theirs.stages]
    spec = NetworkSpec(
        backbone=f"resnet{theirs.total_layers}", num_classes=10, in_channels=3, image_size=32
    )
    names = build(spec.model_copy(update={"confidence": False})).trunk.names
    ends = np.cumsum([len(stage) for stage in layers[:-1]]) - 1
    network = build(spec.model_copy(update={"exits": tuple(names[end] for end in ends)}))
    heads = list(network.heads.values())
    pairs: list[tuple[nn.Module, nn.Module]] = list(
        zip(
            network.trunk.blocks.children(),
            [layer for stage in layers for layer in stage][:-1],  # the last one only pools
            strict=True,
        )
    )
    for head, exit_block in zip(heads, [*theirs.exits, theirs], strict=True):
        pairs.append((head.softmax_branch, exit_block.classifier[0]))
        if head.confidence_branch is not None:
            pairs.append((head.confidence_branch, exit_block.confidence[0]))
    for mine, their in pairs:
        weights = zip(mine.state_dict(), their.state_dict().values(), strict=True)
        mine.load_state_dict(dict(weights))
    return network


@torch.no_grad()
def measure_statistics(theirs: Any, images: Tensor) -> None:
    """Give the batch norms the mean and variance of some images (N, C, H, W)."""
    norms = [module for module in theirs.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches, which are one
    theirs.train()
    theirs(images)
    theirs.eval()


@torch.no_grad()
def share_out(theirs: Any, confidences: NDArray[np.float32]) -> None:
    """Shift the confidence branches so that equally many images leave at each exit.

    Args:
        theirs: the network.
        confidences: (N, E−1) that it computes now.
    """
    inside = np.ones(len(confidences), bool)
    scores = np.log(confidences / (1 - confidences)).astype(np.float64)
    for index, exit_block in enumerate(theirs.exits):
        left = np.quantile(scores[inside, index], 1 - 1 / (EXITS + 1 - index))
        exit_block.confidence[0].bias += np.log(theirs.exit_threshold / (1 - theirs.exit_threshold))
        exit_block.confidence[0].bias -= left
        inside &= scores[:, index] <= left


@torch.inference_mode()
def one_by_one(theirs: Any, images: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Run their code: probabilities (N, K) and exits (N,)."""
    found = [theirs(image[None])[:2] for image in images]
    return torch.cat([answer for answer, _ in found]).numpy(), np.array([at for _, at in found])


def rows_of(
    code: Path, name: str, images: NDArray[np.uint8], classes: Sequence[str]
) -> list[list[str]]:
    """A line per runtime, precision and batch size."""
    theirs = official(code, name)
    inputs = Model.of(ours(theirs), classes).normalised(images).contiguous()
    measure_statistics(theirs, inputs[:FOR_STATISTICS])
    confidences = Model.of(ours(theirs), classes).table(images).confidence
    assert confidences is not None
    share_out(theirs, confidences)
    model = Model.of(ours(theirs), classes, name=name)
    policy = Policy("confidence", (theirs.exit_threshold,) * EXITS)
    probabilities, exits = one_by_one(theirs, inputs)
    shares = " · ".join(f"{share:.0%}" for share in np.bincount(exits, minlength=4) / len(exits))

    chosen = configurations(list(RUNTIMES), list(PRECISIONS))
    titles = [f"{runtime.title}, {precision}" for runtime, precision in chosen]
    rows = []
    with opened(model, policy, chosen, images, torch.get_num_threads()) as runs:

        def run_theirs(batch: NDArray[np.uint8], size: int) -> object:
            return one_by_one(theirs, model.normalised(batch).contiguous())

        for size in BATCHES:
            their_time, *times = latencies([run_theirs, *runs], images, size, REPEATS)
            for title, run, time in zip(titles, runs, times, strict=True):
                got: Any = run(images, size)
                other = [
                    np.count_nonzero(got.labels != probabilities.argmax(axis=1)),
                    np.count_nonzero(got.exits != exits),
                ]
                apart = np.abs(got.probabilities - probabilities)[got.exits == exits].max()
                rows.append(
                    [
                        *(f"`{name}`", shares, f"{size}", title),
                        *(f"{1 / each.per_image:,.0f}" for each in (their_time, time)),
                        f"{their_time.per_image / time.per_image:.2f} ×",
                        *(f"{count:,} of {len(images):,}" for count in other),
                        f"{apart:.0e}",
                    ]
                )
    return rows


def main() -> None:
    """Measure, print, and bring the docs up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--code", type=Path, required=True, help="folder of the authors' code")
    parser.add_argument("--networks", nargs="+", default=["eenet20", "eenet110"], metavar="NAME")
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="to compare on")
    parser.add_argument("--threads", type=int, metavar="N")
    add_update(parser)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    test = load_split("cifar10", "test")
    images = evenly_spaced(test.images, options.images)
    rows = []
    for name in options.networks:
        rows += rows_of(options.code, name, images, test.classes)
        print(f"{name} done", flush=True)
    head = ["network", "leave at each exit", "at once", "ours", "images/s, theirs", "ours"]
    head += ["times theirs", "other answers", "other exits", "probabilities apart"]
    text = f"Measured on {machine()}; medians of {REPEATS} rounds in turns."
    publish(f"{text}\n\n{markdown_table(head, rows)}", "official-eenet", options.update)


if __name__ == "__main__":
    main()
