"""The edge worker: it owns the images, the stages up to the split, and their exits."""

import time
from dataclasses import asdict

import torch
from torch import Tensor

from core.data.prepared import ImageSet
from core.edge_cloud.halves import checked, part_of, split_index
from core.edge_cloud.link import Link, Outbox
from core.edge_cloud.quantise import pack_batch
from core.edge_cloud.supervision import own_loss
from core.edge_cloud.traffic import EpochTraffic
from core.training.checkpoint import Checkpoint, restore_optimizer
from core.training.loop import Trainer, set_rate
from core.training.recipe import Phase, Recipe
from core.training.schedule import learning_rate
from core.training.start_from import Find, find_nothing


class EdgeTrainer(Trainer):
    """A training run whose later stages learn elsewhere, at the same time.

    The features at the split are sent, detached: no gradient comes back, and no image leaves. The
    next batch is begun while the last ones are on their way and the cloud worker learns from them.
    After each epoch the cloud worker's half comes here, to be measured and kept.

    Source: Sepehri et al., "Hierarchical Training of Deep Neural Networks Using Early Exiting"
    (arXiv 2303.02384).
    """

    def __init__(
        self,
        recipe: Recipe,
        train: ImageSet,
        calibration: ImageSet,
        device: torch.device,
        find: Find = find_nothing,
    ) -> None:
        """Build everything from the recipe's seed.

        Raises:
            UserError: the recipe's network does not fit the data or cannot be split as it says.
        """
        chosen = checked(recipe)
        super().__init__(recipe, train, calibration, device, find=find)
        self.split = split_index(self.network.exit_names, chosen.split)
        self.bits = chosen.bits
        self.traffic: list[EpochTraffic] = []
        self._link: Link | None = None
        self._state_bytes = 0

    @property
    def link(self) -> Link:
        """This end of the link."""
        assert self._link is not None, "connect it first"
        return self._link

    def connect(self, link: Link) -> None:
        """Use a link from now on."""
        self._link = link

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return max(len(self.labels) // self.recipe.batch_size, 1)

    @property
    def batch_size(self) -> int:
        """Images per batch."""
        return min(len(self.labels), self.recipe.batch_size)

    def _pass_over_data(self, phase: Phase, within: int) -> tuple[float, float]:
        order_seed = self.recipe.seed * 1_000_003 + self.epoch  # as without a cloud worker
        shuffle = torch.Generator().manual_seed(order_seed)
        crops = torch.Generator().manual_seed(order_seed * 1009)
        torch.manual_seed(order_seed)
        order = torch.randperm(len(self.labels), generator=shuffle)
        total = torch.zeros((), device=self.device)
        rate = phase.learning_rate
        self.network.train()
        busy, sent = self.link.busy, self.link.sent["batches"]
        outbox = Outbox(self.link)
        start = time.perf_counter()
        try:
            for step in range(self.steps):
                chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
                indices = chosen.to(self.device)
                rate = learning_rate(phase, (within + step / self.steps) / phase.epochs)
                images = self.normalise(self.crops.batch(indices, crops, phase.cutout))
                total += self._step(images, self.labels[indices], phase, rate, outbox)
            loss = float(total) / self.steps  # waits until everything is computed
            computed = time.perf_counter() - start - outbox.waited
            waited = outbox.waited
            outbox.close()
        finally:
            outbox.abandon()
        cloud = self.link.hear()
        seconds = time.perf_counter() - start
        self._take_over(self.link.receive_state())
        state_bytes = self.link.sent["state"] + self.link.received["state"]
        self.traffic.append(
            EpochTraffic(
                epoch=self.epoch + 1,
                seconds=seconds,
                batch_bytes=self.link.sent["batches"] - sent,
                state_bytes=state_bytes - self._state_bytes,
                edge_seconds=computed,
                edge_waited=waited,
                link_seconds=self.link.busy - busy,
                cloud_seconds=cloud["seconds"],
                cloud_waited=cloud["waited"],
            )
        )
        self._state_bytes = state_bytes
        return loss + cloud["loss"], rate

    def _step(
        self, images: Tensor, labels: Tensor, phase: Phase, rate: float, outbox: Outbox
    ) -> Tensor:
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        loss = images.new_zeros(())
        features = images
        with self._precision():
            for index in range(self.split + 1):
                features = self.network.stage(index, features)
                if index == self.split:  # the cloud worker can begin while this half learns
                    classes = self.recipe.network.num_classes
                    outbox.put(pack_batch(features, labels, self.bits, classes))
                logits = self.network.head(index, features).logits
                loss = loss + own_loss(logits, labels, phase, index)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _take_over(self, half: Checkpoint) -> None:
        self.network.load_state_dict(self.network.state_dict() | half.part("network"))
        restore_optimizer(self.network, self.optimizer, half.part("optimizer"))

    def clouds_half(self) -> Checkpoint:
        """Return what the cloud worker needs to begin or to go on."""
        return part_of(self.checkpoint(), self.network, self.split, "cloud")

    def edges_half(self) -> Checkpoint:
        """Return what the cloud worker lacks for a whole checkpoint."""
        return part_of(self.checkpoint(), self.network, self.split, "edge")

    def checkpoint(self) -> Checkpoint:
        """Everything of both halves that `restore` needs."""
        whole = super().checkpoint()
        whole.facts["traffic"] = [asdict(one) for one in self.traffic]
        return whole

    def restore(self, checkpoint: Checkpoint, source: str) -> None:
        """Go back to a checkpoint of the same recipe.

        Raises:
            UserError: the checkpoint belongs to another recipe.
        """
        super().restore(checkpoint, source)
        self.traffic = [EpochTraffic.from_dict(row) for row in checkpoint.facts["traffic"]]
