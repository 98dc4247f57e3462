"""The cloud worker: it owns the stages after the split and learns from features that were sent."""

import time

import torch
from torch import Tensor

from core.edge_cloud.halves import checked, hollow_network, own_loss, part_of
from core.edge_cloud.link import Inbox, Link
from core.edge_cloud.message import unpack_batch
from core.edge_cloud.traffic import batch_bytes
from core.networks.randomness import OwnGenerator
from core.training.checkpoint import Checkpoint
from core.training.device import autocast, uses_bfloat16
from core.training.optimizer import (
    learning_rate,
    optimizer_of,
    optimizer_tensors,
    restore_optimizer,
    set_rate,
)
from core.training.recipe import Phase, Recipe


class CloudTrainer:
    """The cloud worker's half of a training run. It never sees an image."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        """Build the network; its weights come over the link.

        Raises:
            UserError: the recipe's network cannot be split as it says.
        """
        self.recipe, self.device, self.bits = recipe, device, checked(recipe).bits
        network, self.split, self.shape = hollow_network(recipe)
        self.network = network.to_empty(device=device).to(memory_format=torch.channels_last)
        self.optimizer = optimizer_of(recipe, self.network)
        self.bfloat16 = uses_bfloat16(recipe.precision, device)

    def restore(self, half: Checkpoint) -> None:
        """Take over a half as the edge worker sends it."""
        self.network.load_state_dict(self.network.state_dict() | half.part("network"))
        restore_optimizer(self.network, self.optimizer, half.part("optimizer"))

    def half(self) -> Checkpoint:
        """Return this worker's weights and optimiser state."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= optimizer_tensors(self.network, self.optimizer)
        return part_of(Checkpoint(tensors, {}), self.network, self.split, "cloud")

    def train_epoch(self, link: Link, epoch: int, steps: int, batch_size: int) -> dict[str, float]:
        """Learn from an epoch's batches; return the mean loss and the seconds spent.

        Args:
            link: where they come from.
            epoch: from 0.
            steps: how many batches come.
            batch_size: images in each.

        Raises:
            PeerLostError: they do not come.
        """
        phase, within = self.recipe.phase_at(epoch)
        drops = OwnGenerator(self.recipe.seed * 1_000_003 + epoch)
        self.network.train()
        classes = self.recipe.network.num_classes
        inbox = Inbox(link, batch_bytes(batch_size, self.shape, self.bits, classes), steps)
        total = torch.zeros((), device=self.device)
        start = time.perf_counter()
        for step, message in enumerate(inbox):
            features, labels = unpack_batch(
                message.to(self.device), batch_size, self.shape, self.bits, classes
            )
            set_rate(self.optimizer, learning_rate(phase, (within + step / steps) / phase.epochs))
            with drops.at_step(step):
                total += self._step(features, labels, phase)
        loss = float(total) / steps  # waits until everything is computed
        seconds = time.perf_counter() - start - inbox.waited
        return {"loss": loss, "seconds": seconds, "waited": inbox.waited}

    def _step(self, features: Tensor, labels: Tensor, phase: Phase) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        if self.bfloat16:
            features = features.bfloat16()  # as they were when the edge computed them
        stages = range(self.split + 1, self.network.num_exits)
        with autocast(self.bfloat16, self.device):
            loss = own_loss(self.network, stages, features, labels, phase)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()
