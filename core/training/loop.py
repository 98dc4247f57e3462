"""The training loop: data on the device, one loss at a time, resumable to the bit."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from core.data.prepared import ImageSet
from core.data.splits import load_split
from core.foundation.errors import UserError
from core.networks.backbones.airbench import SAMPLES, Whitening
from core.networks.build import build
from core.networks.cost import count
from core.networks.network import ExitNetwork
from core.networks.normalisation import Normalisation, to_device
from core.training.augment import CropAndFlip
from core.training.averaging import MeanWeights
from core.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from core.training.device import uses_bfloat16
from core.training.distributed import Workers, device_for, workers
from core.training.losses import (
    LOSSES,
    LossInputs,
    assign_tags,
    distillation,
    in_full_precision,
)
from core.training.progress import LIVE_THRESHOLD, EpochReport, warning_about
from core.training.recipe import Phase, Recipe
from core.training.schedule import learning_rate
from core.training.start_from import Find, find_nothing, start_from
from core.training.teacher import Teacher

EVALUATION_BATCH = 500


@dataclass
class TrainingResult:
    """A finished run: the network with the weights of its best epoch on the calibration split."""

    network: ExitNetwork
    history: list[EpochReport]
    best_epoch: int
    seconds: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bfloat16: bool
    workers: int


class Trainer:
    """One training run: its network, data, optimiser and how far it has come."""

    def __init__(
        self,
        recipe: Recipe,
        train: ImageSet,
        calibration: ImageSet,
        device: torch.device,
        peers: Workers | None = None,
        find: Find = find_nothing,
    ) -> None:
        """Build everything from the recipe's seed; ``find`` looks up what it builds on.

        Raises:
            UserError: the recipe's network does not fit the data.
        """
        _check_fit(recipe, train)
        self.recipe, self.device, self.peers = recipe, device, peers or Workers()
        torch.manual_seed(recipe.seed)
        network = build(recipe.network)
        known: Normalisation | None = None
        if recipe.start_from is not None:
            known = start_from(network, recipe.network, recipe.start_from, find)
        if recipe.mean is not None and recipe.std is not None:
            known = Normalisation(recipe.mean, recipe.std)
        spec = recipe.network
        costs = count(network, spec.in_channels, spec.image_size).exit_costs
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.model: nn.Module = self.network
        self.costs = torch.tensor(costs, dtype=torch.float32, device=device)
        self.normalise = (known or Normalisation.measured(train.images)).to(device)
        self.crops = CropAndFlip(to_device(train.images, device), recipe.crop_pad, recipe.flip)
        if recipe.start_from is None:
            for module in self.network.modules():
                if isinstance(module, Whitening):
                    module.fit(self.normalise(to_device(train.images[:SAMPLES], device)))
        self.labels = torch.from_numpy(train.labels).to(device)
        self.calibration = to_device(calibration.images, device)
        self.calibration_labels = torch.from_numpy(calibration.labels).to(device)
        self.teacher: Teacher | None = None
        if recipe.teacher:
            self.teacher = Teacher(recipe.teacher, find(recipe.teacher), spec, device)
        self.optimizer = optimizer_of(recipe, self.network)
        self.training: str | None = None  # what the current phase trains
        self.bfloat16 = uses_bfloat16(recipe.precision, device)
        self.tags: Tensor | None = None
        self.mean_weights = MeanWeights()
        self.epoch = 0
        self.history: list[EpochReport] = []
        self.best_epoch = 0
        self.seconds = 0.0

    @property
    def best_is_last(self) -> bool:
        """Whether the epoch just finished is the best so far."""
        return self.best_epoch == self.epoch

    def epochs(self) -> Iterator[EpochReport]:
        """Train to the end, epoch by epoch. Stopping between two epochs loses nothing."""
        while self.epoch < self.recipe.epochs:
            yield self.train_epoch()

    def train_epoch(self) -> EpochReport:
        """Train one epoch and measure it on the calibration split."""
        start = time.perf_counter()
        phase, within = self.recipe.phase_at(self.epoch)
        if phase.loss == "v4" and (self.tags is None or within == 0):
            self.tags = self._tags(phase)
        loss, rate = self._pass_over_data(phase, within)
        if phase.average and within == phase.epochs - 1:
            with self._precision():
                self.mean_weights.take(self.network, self._batches(phase))
        if phase.loss == "v4":
            self.tags = self._tags(phase)
        self.epoch += 1
        report = self._measure(phase, loss, rate, start)
        self.history.append(report)
        self.seconds += report.seconds
        self._note_best()
        return report

    def _pass_over_data(self, phase: Phase, within: int) -> tuple[float, float]:
        # Order and crops depend on seed and epoch alone: a resumed run repeats them.
        order_seed = self.recipe.seed * 1_000_003 + self.epoch
        shuffle = torch.Generator().manual_seed(order_seed)
        crops = torch.Generator().manual_seed(order_seed * 1009 + self.peers.rank)
        torch.manual_seed(order_seed)
        order = torch.randperm(len(self.labels), generator=shuffle)
        size = self.recipe.batch_size
        steps = max(len(order) // size, 1)
        total = torch.zeros((), device=self.device)
        rate = phase.learning_rate
        self._prepare(phase)
        teacher = self.teacher if phase.distillation and not phase.self_taught else None
        for step in range(steps):
            indices = self.peers.share(order[step * size : (step + 1) * size]).to(self.device)
            rate = learning_rate(phase, (within + step / steps) / phase.epochs)
            set_rate(self.optimizer, rate)
            pixels = self.crops.batch(indices, crops, phase.cutout)
            images = self.normalise(pixels)
            self.optimizer.zero_grad(set_to_none=True)
            with self._precision():
                outputs = self.model(images)
                known = teacher(pixels) if teacher else None
            name = phase.loss_at(within * steps + step)
            loss = self._loss(phase, name, *in_full_precision(outputs), indices, known)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.detach()
        mean = float(self.peers.sum(total)) / steps / self.peers.count
        return mean, rate

    def _batches(self, phase: Phase) -> Iterator[Tensor]:
        """The training images once, mixed and augmented: the same on every process."""
        random = torch.Generator().manual_seed(self.recipe.seed)
        order = torch.randperm(len(self.labels), generator=random)
        size = self.recipe.batch_size
        for indices in torch.split(order, size)[: max(len(order) // size, 1)]:
            pixels = self.crops.batch(indices.to(self.device), random, phase.cutout)
            yield self.normalise(pixels)

    def _prepare(self, phase: Phase) -> None:
        """Freeze what the phase does not train: no gradient, no decay, no batch statistics."""
        early = [f"heads.{name}." for name in self.network.exit_names[:-1]]
        parts = {"all": ("",), "exits": tuple(early), "confidence": (".confidence_branch.",)}
        part = parts[phase.trains]
        if self.training != phase.trains:
            self.training = phase.trains
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad_(any(which in name for which in part))
                parameter.grad = None
            if self.peers.count > 1:
                ids = [self.device.index] if self.device.type == "cuda" else None
                self.model = DistributedDataParallel(self.network, device_ids=ids)
        self.model.train(phase.trains == "all")
        if phase.trains == "exits":
            for name in self.network.exit_names[:-1]:
                self.network.heads[name].train()

    def _loss(
        self,
        phase: Phase,
        name: str,
        logits: Tensor,
        confidence: Tensor | None,
        indices: Tensor,
        known: Tensor | None,
    ) -> Tensor:
        exits = logits.shape[1]
        weights = phase.exit_weights or (1.0,) * exits
        batch = LossInputs(
            logits=logits,
            confidence_logits=confidence,
            labels=(
                logits[:, -1].argmax(dim=1) if phase.targets == "network" else self.labels[indices]
            ),
            costs=self.costs,
            lambda_cost=phase.lambda_cost,
            exit_weights=torch.tensor(weights, device=self.device),
            label_smoothing=phase.label_smoothing,
            tags=self.tags[indices] if self.tags is not None else None,
        )
        loss = LOSSES[name](batch)
        if confidence is not None and self.peers.count > 1:
            # Peers wait for the gradient of every parameter, also of those a loss has no use for.
            loss = loss + 0 * (logits.sum() + confidence.sum())
        if phase.floor:
            loss = loss - phase.floor * batch.likelihoods().sum(dim=1).mean()
        if phase.distillation:
            loss = loss + phase.distillation * distillation(logits, phase.temperature, known)
        return loss

    def _precision(self) -> AbstractContextManager[Any]:
        if self.bfloat16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    @torch.no_grad()
    def _outputs(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        self.network.eval()
        logits, confidences = [], []
        for chunk in torch.split(images, EVALUATION_BATCH):
            with self._precision():
                outputs = self.network(self.normalise(chunk))
            ours, confidence = in_full_precision(outputs)
            logits.append(ours)
            if confidence is not None:
                confidences.append(confidence)
        return torch.cat(logits), torch.cat(confidences) if confidences else None

    def _tags(self, phase: Phase) -> Tensor:
        pad = self.crops.pad
        height, width = self.crops.height, self.crops.width
        images = self.crops.padded[:, :, pad : pad + height, pad : pad + width]
        logits, confidence = self._outputs(images)
        batch = LossInputs(
            logits, confidence, self.labels, self.costs, phase.lambda_cost, self.costs
        )
        return assign_tags(batch.likelihoods(), self.costs, phase.lambda_cost)

    def _measure(self, phase: Phase, loss: float, rate: float, start: float) -> EpochReport:
        logits, confidence = self._outputs(self.calibration)
        right = logits.argmax(dim=2) == self.calibration_labels[:, None]
        if confidence is not None:
            scores = confidence.sigmoid()
        else:
            scores = logits[:, :-1].softmax(dim=2).amax(dim=2)
        stops = torch.cat([scores > LIVE_THRESHOLD, torch.ones_like(right[:, :1])], dim=1)
        exits = stops.int().argmax(dim=1)
        share = torch.bincount(exits, minlength=right.shape[1]) / len(exits)
        accuracy = right.float().mean(dim=0)
        return EpochReport(
            epoch=self.epoch,
            loss=loss,
            accuracy=tuple(accuracy.tolist()),
            exit_share=tuple(share.tolist()),
            relative_cost=float(self.costs[exits].mean()),
            policy_accuracy=float(right.gather(1, exits[:, None]).float().mean()),
            learning_rate=rate,
            seconds=time.perf_counter() - start,
            warning=warning_about(phase, loss, share.tolist(), confidence is not None),
        )

    def _note_best(self) -> None:
        first_of_last_phase = self.recipe.epochs - self.recipe.phases[-1].epochs
        candidates = [report for report in self.history if report.epoch > first_of_last_phase]
        if not candidates:
            self.best_epoch = self.epoch
            return
        # On the calibration split; of equals the later one, which has seen more.
        best = max(candidates, key=lambda report: (sum(report.accuracy), report.epoch))
        self.best_epoch = best.epoch

    def checkpoint(self) -> Checkpoint:
        """Everything that `restore` needs."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= optimizer_tensors(self.network, self.optimizer)
        if self.tags is not None:
            tensors["tags"] = self.tags
        tensors |= {f"mean.{name}": t for name, t in self.mean_weights.tensors.items()}
        facts = {
            "recipe": self.recipe.model_dump(mode="json"),
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "seconds": self.seconds,
            "averaged": self.mean_weights.count,
            "history": [asdict(report) for report in self.history],
        }
        return Checkpoint(tensors, facts)

    def restore(self, checkpoint: Checkpoint, source: str) -> None:
        """Go back to a checkpoint of the same recipe.

        Raises:
            UserError: the checkpoint belongs to another recipe.
        """
        theirs = Recipe.model_validate(checkpoint.facts["recipe"])
        if theirs != self.recipe:
            fields = ", ".join(
                name
                for name in Recipe.model_fields
                if getattr(theirs, name) != getattr(self.recipe, name)
            )
            raise UserError(
                f"the checkpoint {source} was made by another recipe (it differs in {fields}): "
                "resume with the recipe it was made by, or start anew without --resume."
            )
        self.network.load_state_dict(checkpoint.part("network"))
        restore_optimizer(self.network, self.optimizer, checkpoint.part("optimizer"))
        tags = checkpoint.tensors.get("tags")
        self.tags = None if tags is None else tags.to(self.device)
        mean = checkpoint.part("mean")
        self.mean_weights.tensors = {name: t.to(self.device) for name, t in mean.items()}
        self.mean_weights.count = checkpoint.facts.get("averaged", 0)
        self.epoch = checkpoint.facts["epoch"]
        self.best_epoch = checkpoint.facts["best_epoch"]
        self.seconds = checkpoint.facts["seconds"]
        self.history = [EpochReport.from_dict(row) for row in checkpoint.facts["history"]]


def _check_fit(recipe: Recipe, images: ImageSet) -> None:
    spec = recipe.network
    height, width, channels = images.images.shape[1:]
    ours = (spec.image_size, spec.image_size, spec.in_channels, spec.num_classes)
    theirs = (height, width, channels, len(images.classes))
    if ours != theirs:
        raise UserError(
            f"expected the data set {images.name} to have images of {ours[0]}×{ours[1]} pixels, "
            f"{ours[2]} channels and {ours[3]} classes as the recipe {recipe.name} says, but got "
            f"{theirs[0]}×{theirs[1]}, {theirs[2]} and {theirs[3]}: correct the recipe's network."
        )


def optimizer_of(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe, its rate still to be set: "times" in a group scales it."""
    biases = [m.bias for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    apart = {id(bias) for bias in biases}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in apart]
    decay, times = recipe.weight_decay, recipe.norm_bias_rate
    groups = [
        {"params": rest, "times": 1.0, "weight_decay": decay},
        {"params": biases, "times": times, "weight_decay": decay / times},
    ]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=0.0)
    return torch.optim.SGD(groups, lr=0.0, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of an optimiser that `optimizer_of` made."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["times"]


def train(
    recipe: Recipe,
    out: Path,
    *,
    data: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    should_stop: Callable[[], bool] = lambda: False,
    find: Find = find_nothing,
) -> TrainingResult:
    """Train a recipe to its end, keeping a checkpoint after every epoch.

    Under torchrun, all processes train together and the first one writes. An interrupt loses at
    most the epoch under way.

    Args:
        recipe: what to train.
        out: folder for ``checkpoint.safetensors`` (resuming) and ``best.safetensors``.
        data: root of the prepared data sets.
        resume: go on from ``out``'s checkpoint, which gives the same weights as an
            uninterrupted run (bit for bit on a CPU with the same number of threads).
        device: "cpu" or "cuda".
        on_epoch: told about each epoch, in the leading process.
        should_stop: asked after each epoch whether to leave it at that; the result is then the
            best of the epochs so far. Under torchrun, all processes must be told the same.
        find: looks up the trained networks that the recipe builds on.

    Raises:
        UserError: no data, no or a foreign checkpoint to resume, or one that would be overwritten.
    """
    latest, best = out / "checkpoint.safetensors", out / "best.safetensors"
    if latest.exists() and not resume:
        raise UserError(
            f"expected `out` to hold no earlier run, but {latest} exists: "
            "add --resume to go on with it, or choose another folder."
        )
    with workers(device) as peers:
        train_set = load_split(recipe.dataset, "train", data)
        calibration = load_split(recipe.dataset, "calibration", data)
        trainer = Trainer(recipe, train_set, calibration, device_for(device, peers), peers, find)
        if resume:
            trainer.restore(load_checkpoint(latest), str(latest))
        for report in trainer.epochs():
            if peers.leads:
                checkpoint = trainer.checkpoint()
                if trainer.best_is_last:
                    save_checkpoint(best, checkpoint)
                save_checkpoint(latest, checkpoint)
                on_epoch(report)
            if should_stop():
                break
        if peers.leads:
            trainer.network.load_state_dict(load_checkpoint(best).part("network"))
        return TrainingResult(
            network=trainer.network.to(memory_format=torch.contiguous_format).cpu().eval(),
            history=trainer.history,
            best_epoch=trainer.best_epoch,
            seconds=trainer.seconds,
            mean=trainer.normalise.mean,
            std=trainer.normalise.std,
            bfloat16=trainer.bfloat16,
            workers=peers.count,
        )
