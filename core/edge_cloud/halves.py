"""Which part of a network belongs to which worker, and how each part learns by itself."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from core.edge_cloud.link import Role
from core.foundation.errors import UserError, nearest
from core.networks.build import build_hollow
from core.networks.layout import MAP
from core.networks.network import ExitNetwork
from core.networks.trunk import key
from core.training.checkpoint import Checkpoint
from core.training.recipe import EdgeCloud, Phase, Recipe


def split_index(exit_names: tuple[str, ...], split: str) -> int:
    """Return the index of the early exit to split at.

    Raises:
        UserError: it is none of the network's early exits.
    """
    early = exit_names[:-1]
    if not early:
        raise UserError(
            "expected a network with early exits to split between edge and cloud, but it has "
            "none: name some in the recipe's `exits`."
        )
    if split not in early:
        raise UserError(
            f"expected the split to be one of the early exits {', '.join(early)}, "
            f"but got {split!r}.{nearest(split, early)}"
        )
    return early.index(split)


def checked(recipe: Recipe) -> EdgeCloud:
    """Return where a recipe splits its network, having checked that its halves can learn apart.

    Raises:
        UserError: it does not split it, or trains more than each exit's own loss.
    """
    if recipe.edge_cloud is None:
        raise UserError(
            f"expected the recipe {recipe.name} to say where to split the network, but it has no "
            "`edge_cloud`: name an early exit with --split."
        )
    if recipe.network.confidence and (recipe.network.exits or recipe.network.placement):
        raise UserError(
            f"expected the recipe {recipe.name} to train no confidences, as each half learns "
            "from its own exits' loss alone, but it does: set `confidence = false`."
        )
    for phase in recipe.phases:
        chosen = (phase.loss, phase.trains, phase.floor, phase.distillation, phase.average)
        if chosen != ("v0", "all", 0, 0, False):
            raise UserError(
                f"expected every phase of the recipe {recipe.name} to train everything with the "
                "loss v0 alone, as no exit knows the answers of those beyond the link, but one "
                "does not: leave out its `loss`, `trains`, `floor`, `distillation` and "
                "`average`."
            )
    return recipe.edge_cloud


def hollow_network(recipe: Recipe) -> tuple[ExitNetwork, int, tuple[int, int, int]]:
    """Return a network without weights, where it is split, and the shape of what is sent there.

    It costs no time and draws no random numbers. The shape is (C, H, W).

    Raises:
        UserError: the network cannot be split as the recipe says.
    """
    spec = recipe.network
    network = build_hollow(spec)
    shapes = network.trunk.output_shapes(spec.in_channels, spec.image_size)
    split = split_index(network.exit_names, checked(recipe).split)
    last = network.stage_ranges[split][1] - 1
    if network.trunk.layouts[last] != MAP:
        raise UserError(
            "expected features (B, C, H, W) where the network is split, but the backbone "
            f"{spec.backbone} has {network.trunk.layouts[last].kind} at {network.exit_names[split]}"
            ": choose a convolutional one."
        )
    return network, split, shapes[last]


def part_of(state: Checkpoint, network: ExitNetwork, split: int, role: Role) -> Checkpoint:
    """Return a worker's half of a checkpoint: tensors of its stages and heads, and all facts.

    Args:
        state: with tensors "network.…" and "optimizer.…".
        network: whose state it is.
        split: index of the exit at which it is split.
        role: whose half.
    """
    stop = network.stage_ranges[split][1]
    mine = [f"trunk.blocks.{key(name)}." for name in network.trunk.names[:stop]]
    mine += [f"heads.{key(name)}." for name in network.exit_names[: split + 1]]
    starts = tuple(f"{kind}.{start}" for kind in ("network", "optimizer") for start in mine)
    tensors = {
        name: tensor
        for name, tensor in state.tensors.items()
        if name.startswith(starts) == (role == "edge")
    }
    return Checkpoint(tensors, state.facts)


def own_loss(
    network: ExitNetwork,
    stages: Iterable[int],
    features: Tensor,
    labels: Tensor,
    phase: Phase,
    on_features: Callable[[int, Tensor], None] = lambda index, features: None,
) -> Tensor:
    """Run some stages; return the sum of their exits' own losses, weighted as the phase says.

    Args:
        network: all of it.
        stages: indices of the stages to run, in order.
        features: what the first of them reads, (B, C, H, W).
        labels: (B,).
        phase: with the exits' weights and the label smoothing.
        on_features: called with the features of each stage before its head reads them.
    """
    loss = torch.zeros((), device=features.device)
    for index in stages:
        features = network.stage(index, features)
        on_features(index, features)
        logits = network.head(index, features).logits.float()
        weight = 1.0 if phase.exit_weights is None else phase.exit_weights[index]
        smoothing = phase.label_smoothing
        loss = loss + weight * F.cross_entropy(logits, labels, label_smoothing=smoothing)
    return loss
