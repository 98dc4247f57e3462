"""The edge worker: it owns the images, the stages up to the split, and their exits."""

import time
from typing import Any

from torch import Tensor

from core.edge_cloud.halves import checked, own_loss, part_of, split_index
from core.edge_cloud.link import Link, Outbox, Role
from core.edge_cloud.message import pack_batch
from core.edge_cloud.traffic import EpochTraffic
from core.training.checkpoint import Checkpoint
from core.training.data import Batch
from core.training.device import autocast
from core.training.loop import Trainer
from core.training.optimizer import restore_optimizer
from core.training.recipe import Phase, Recipe


class EdgeTrainer(Trainer):
    """A training run whose later stages learn elsewhere, at the same time.

    The features at the split are sent, detached: no gradient comes back, and no image leaves. The
    next batch is begun while the last ones are on their way and the cloud worker learns from them.
    After each epoch the cloud worker's half comes here, to be measured and kept.

    Source: Sepehri et al., "Hierarchical Training of Deep Neural Networks Using Early Exiting"
    (arXiv 2303.02384).
    """

    can_stop_within = False  # the cloud worker's half is not here then
    link: Link
    """This end of the link; set before training."""

    def __init__(self, recipe: Recipe, *others: Any, **more: Any) -> None:
        """Take what a `Trainer` takes.

        Raises:
            UserError: the recipe's network cannot be split as it says.
        """
        super().__init__(recipe, *others, **more)
        chosen = checked(recipe)
        self.split = split_index(self.network.exit_names, chosen.split)
        self.bits, self.classes = chosen.bits, recipe.network.num_classes
        self.traffic: list[EpochTraffic] = []
        self._state_bytes = 0

    def _pass_over_data(self, phase: Phase, within: int, start: float = 0.0) -> tuple[float, float]:
        link = self.link
        busy, sent = link.busy, link.sent["batches"]
        self._outbox = outbox = Outbox(link)
        begun = time.perf_counter()
        try:
            loss, rate = super()._pass_over_data(phase, within, start)
            waited = outbox.waited
            computed = time.perf_counter() - begun - waited
            outbox.close()
        finally:
            outbox.abandon()
        cloud = link.hear()
        seconds = time.perf_counter() - begun
        half = link.receive_state()
        self.network.load_state_dict(self.network.state_dict() | half.part("network"))
        restore_optimizer(self.network, self.optimizer, half.part("optimizer"))
        state_bytes = link.sent["state"] + link.received["state"]
        self.traffic.append(
            EpochTraffic(
                epoch=self.epoch + 1,
                seconds=seconds,
                batch_bytes=link.sent["batches"] - sent,
                state_bytes=state_bytes - self._state_bytes,
                edge_seconds=computed,
                edge_waited=waited,
                link_seconds=link.busy - busy,
                cloud_seconds=cloud["seconds"],
                cloud_waited=cloud["waited"],
            )
        )
        self._state_bytes = state_bytes
        return loss + cloud["loss"], rate

    def _step(self, phase: Phase, loss_name: str, batch: Batch) -> Tensor:
        def send(index: int, features: Tensor) -> None:
            if index == self.split:  # the cloud worker can begin while this half learns
                self._outbox.put(pack_batch(features, batch.labels, self.bits, self.classes))

        images = self.normalise(batch.pixels)
        with autocast(self.bfloat16, self.device):
            loss = own_loss(self.network, range(self.split + 1), images, batch.labels, phase, send)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def half_of(self, role: Role) -> Checkpoint:
        """Return a worker's half of the state."""
        return part_of(self.checkpoint(), self.network, self.split, role)

    def checkpoint(self) -> Checkpoint:
        """Everything of both halves that `restore` needs."""
        checkpoint = super().checkpoint()
        checkpoint.facts["traffic"] = [epoch.model_dump() for epoch in self.traffic]
        return checkpoint

    def restore(self, checkpoint: Checkpoint, source: str) -> None:
        """Go back to a checkpoint of the same recipe.

        Raises:
            UserError: the checkpoint belongs to another recipe.
        """
        super().restore(checkpoint, source)
        self.traffic = [EpochTraffic(**row) for row in checkpoint.facts["traffic"]]
