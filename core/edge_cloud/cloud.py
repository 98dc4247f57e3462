"""The cloud worker: it owns the stages after the split and learns from features that were sent."""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from core.edge_cloud.halves import checked, part_of, split_index
from core.edge_cloud.link import Inbox, Link
from core.edge_cloud.quantise import batch_bytes, unpack_batch
from core.edge_cloud.supervision import own_loss
from core.networks.build import build
from core.training.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer
from core.training.device import uses_bfloat16
from core.training.loop import optimizer_of, set_rate
from core.training.recipe import Phase, Recipe
from core.training.schedule import learning_rate


class CloudTrainer:
    """The cloud worker's half of a training run. It never sees an image."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        """Build the network; its weights come over the link.

        Raises:
            UserError: the recipe's network cannot be split as it says.
        """
        chosen = checked(recipe)
        spec = recipe.network
        with torch.device("meta"):  # without weights, and without drawing any
            network = build(spec)
            shapes = network.trunk.output_shapes(spec.in_channels, spec.image_size)
        self.recipe, self.device, self.bits = recipe, device, chosen.bits
        self.split = split_index(network.exit_names, chosen.split)
        self.shape = shapes[network.stage_ranges[self.split][1] - 1]
        self.network = network.to_empty(device=device).to(memory_format=torch.channels_last)
        self.optimizer = optimizer_of(recipe, self.network)
        self.bfloat16 = uses_bfloat16(recipe.precision, device)

    def restore(self, half: Checkpoint) -> None:
        """Take over a half as the edge worker sends it."""
        self.network.load_state_dict(self.network.state_dict() | half.part("network"))
        restore_optimizer(self.network, self.optimizer, half.part("optimizer"))

    def half(self) -> Checkpoint:
        """Return this worker's weights and optimiser state."""
        tensors = {f"network.{name}": one for name, one in self.network.state_dict().items()}
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
        torch.manual_seed(self.recipe.seed * 1_000_003 + epoch)
        self.network.train()
        classes = self.recipe.network.num_classes
        inbox = Inbox(link, batch_bytes(batch_size, self.shape, self.bits, classes), steps)
        total = torch.zeros((), device=self.device)
        start = time.perf_counter()
        for step, message in enumerate(inbox):
            features, labels = unpack_batch(
                message.to(self.device), batch_size, self.shape, self.bits, classes
            )
            rate = learning_rate(phase, (within + step / steps) / phase.epochs)
            total += self._step(features, labels, phase, rate)
        loss = float(total) / steps  # waits until everything is computed
        seconds = time.perf_counter() - start - inbox.waited
        return {"loss": loss, "seconds": seconds, "waited": inbox.waited}

    def _step(self, features: Tensor, labels: Tensor, phase: Phase, rate: float) -> Tensor:
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        loss = features.new_zeros(())
        with self._precision():
            if self.bfloat16:
                features = features.bfloat16()  # as they were when the edge computed them
            for index in range(self.split + 1, self.network.num_exits):
                features = self.network.stage(index, features)
                logits = self.network.head(index, features).logits
                loss = loss + own_loss(logits, labels, phase, index)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _precision(self) -> AbstractContextManager[Any]:
        if self.bfloat16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()
