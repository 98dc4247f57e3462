"""The training loop: one loss at a time, resumable to the bit."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, update_bn

from core.data.pictures import PictureSet
from core.data.prepared import ImageSet
from core.data.splits import load_split
from core.data.transform import EvaluationTransform, Transform
from core.foundation.costs import Costs
from core.foundation.errors import UserError
from core.foundation.interrupts import held_back
from core.networks.backbones.airbench import Whitening
from core.networks.build import build
from core.networks.cost import count
from core.networks.network import ExitNetwork, Outputs
from core.networks.normalisation import Normalisation, to_device
from core.networks.randomness import OwnGenerator
from core.networks.trunk import key
from core.training.checkpoint import (
    BEST,
    LATEST,
    Checkpoint,
    earlier_run,
    load_checkpoint,
    save_checkpoint,
    save_epoch,
)
from core.training.data import Batch, Source, check_images
from core.training.device import autocast, hardware, uses_bfloat16
from core.training.distributed import Workers, device_for, workers
from core.training.losses import (
    LOSSES,
    LossInputs,
    assign_tags,
    distillation,
    in_full_precision,
)
from core.training.optimizer import (
    learning_rate,
    optimizer_of,
    optimizer_tensors,
    restore_optimizer,
    set_rate,
)
from core.training.progress import LIVE_THRESHOLD, EpochReport, warning_about
from core.training.recipe import Phase, Recipe, Settings
from core.training.recorded import RecordedSteps
from core.training.selection import front_accuracy
from core.training.sources import first_pixels, frozen_blocks, reading, sources
from core.training.start_from import Find, find_nothing, start_from
from core.training.stream import StreamedImages
from core.training.teacher import Teacher
from core.training.views import FrozenViews


@dataclass(frozen=True)
class TrainingResult:
    """The facts of a finished training; its network has the weights of the best epoch.

    Attributes:
        settings: what was trained, and how.
        history: a report per epoch.
        best_epoch: from 1, of the highest accuracy–cost front on the calibration split.
        seconds: all epochs together.
        transform: how a picture becomes what the network reads; None where the images came as
            tensors that were normalised already.
        bfloat16: whether the network computed in bfloat16.
        workers: how many processes trained together.
        hardware: on which they ran.
    """

    settings: Settings
    history: list[EpochReport]
    best_epoch: int
    seconds: float
    transform: Transform | None
    bfloat16: bool
    workers: int
    hardware: str


@dataclass(frozen=True)
class Within:
    """How far an epoch has come.

    Attributes:
        loss: the sum over its steps so far.
        steps: that are done.
        seconds: that they took.
        drawn: state of the generator of what layers draw; None at the beginning.
    """

    loss: Tensor
    steps: int = 0
    seconds: float = 0.0
    drawn: Tensor | None = None


class StoppedWithinError(Exception):
    """The training was interrupted within an epoch, between two steps."""


class Trainer:
    """One training run: its network, data, optimiser and how far it has come.

    Attributes:
        can_stop_within: whether a checkpoint holds all that goes on within an epoch.
        interrupted: asked after each step whether to stop there.
    """

    can_stop_within = True

    def __init__(
        self,
        settings: Settings,
        network: ExitNetwork,
        costs: Costs,
        transform: Transform | None,
        train: Source,
        calibration: Source,
        device: torch.device,
        peers: Workers | None = None,
        teacher: Teacher | None = None,
        frozen: int = 0,
    ) -> None:
        """Take all that a run needs.

        Args:
            settings: how to train.
            network: what to train; moved to the device.
            costs: of its stages and heads.
            transform: how a picture becomes what the network reads; bytes are normalised by it.
            train: what to learn from.
            calibration: what every epoch is measured on.
            device: where to train.
            peers: this process among those that train together.
            teacher: whom the exits learn from, in phases with distillation.
            frozen: how many blocks of the trunk stay as they are, from the first on.
        """
        self.settings, self.device, self.peers = settings, device, peers or Workers()
        self.can_stop_within = self.peers.count == 1 and self.can_stop_within
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.model: nn.Module = self.network
        self.parts = costs
        self.costs = torch.tensor(costs.at_exits(), dtype=torch.float32, device=device)
        self.transform = transform
        self.normalise: nn.Module = nn.Identity()  # what is normalised already stays as it is
        if isinstance(transform, EvaluationTransform):
            self.normalise = transform.normalisation.to(device)
        self.train, self.calibration, self.teacher = train, calibration, teacher
        self.frozen = frozen
        self.optimizer = optimizer_of(settings, self.network)
        self.phase: Phase | None = None  # the current one
        self.exit_weights = torch.ones_like(self.costs)
        self.bfloat16 = uses_bfloat16(settings.precision, device)
        alone_on_gpu = device.type == "cuda" and self.peers.count == 1
        self.steps = RecordedSteps() if alone_on_gpu else None
        self.tags: Tensor | None = None  # of all training images, for v4
        self.averaged: AveragedModel | None = None
        self.interrupted: Callable[[], bool] = lambda: False
        self.epoch = 0
        self.within = Within(torch.zeros((), device=device))
        self.history: list[EpochReport] = []
        self.best_epoch = 0
        self.seconds = 0.0

    @classmethod
    def of_recipe(
        cls,
        recipe: Recipe,
        train: ImageSet | PictureSet,
        calibration: ImageSet | PictureSet,
        device: torch.device,
        peers: Workers | None = None,
        find: Find = find_nothing,
        features: Path = Path("features"),
    ) -> Self:
        """Build everything from a recipe's seed.

        Args:
            recipe: what to train.
            train: what to learn from.
            calibration: what every epoch is measured on.
            device: where to train.
            peers: this process among those that train together.
            find: looks up what the recipe builds on.
            features: folder for the features of frozen blocks, where the recipe has `views`.

        Raises:
            UserError: the recipe's network does not fit the data.
        """
        spec = recipe.network
        check_images(train, spec, f"the recipe {recipe.name}")
        with OwnGenerator(recipe.seed):
            network = build(spec)
        known: Normalisation | None = None
        if recipe.start_from is not None:
            known = start_from(network, spec, recipe.start_from, find, recipe.new_classifier)
        if recipe.mean is not None and recipe.std is not None:
            known = Normalisation(recipe.mean, recipe.std)
        costs = count(network, spec.in_channels, spec.image_size).costs
        network.to(device)
        transform = reading(recipe, train, known)
        normalise = transform.normalisation.to(device)
        if recipe.start_from is None:
            for module in network.modules():
                if isinstance(module, Whitening):
                    module.fit(normalise(to_device(first_pixels(train, transform), device)))
        teacher = None
        if recipe.teacher:
            teacher = Teacher(recipe.teacher, find(recipe.teacher), spec, device)
        trainer = cls(
            recipe,
            network,
            costs,
            transform,
            *sources(recipe, train, calibration, transform, device),
            device,
            peers,
            teacher,
            frozen_blocks(network, recipe.frozen),
        )
        if recipe.views:
            trainer.keep_features(recipe, features)
        return trainer

    def keep_features(self, recipe: Recipe, folder: Path) -> None:
        """Take what the frozen blocks make of some views of the images, instead of the images.

        Args:
            recipe: says how many views.
            folder: for the features; those that are there are not computed again.

        Raises:
            UserError: several processes train together, or the images are not encoded pictures.
        """
        train, calibration = self.train, self.calibration
        if self.peers.count > 1 or not isinstance(train, StreamedImages):
            raise UserError(
                "expected one process and encoded pictures where a recipe has `views`, but got "
                f"{self.peers.count} processes and the data set {recipe.dataset}: leave it out."
            )
        assert isinstance(calibration, StreamedImages)
        self._prepare(recipe.phases[0])
        self.network.eval()
        self.train = FrozenViews(
            map(train.view, range(recipe.views)),
            train.length,
            self._kept,
            folder / "train",
            self.device,
            recipe.batch_size,
        )
        self.calibration = FrozenViews(
            [calibration.whole()],
            calibration.length,
            self._kept,
            folder / "calibration",
            self.device,
            recipe.batch_size,
        )

    def _kept(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the features of a batch after the frozen blocks, and what the teacher answers."""
        with autocast(self.bfloat16, self.device):
            features = self.network.start(self._input(batch), self.frozen)
            known = self.teacher(batch.pixels) if self.teacher else batch.labels[:, None][:, :0]
        return (*features, known)

    def epochs(self) -> Iterator[EpochReport]:
        """Train to the end, epoch by epoch. Stopping between two epochs loses nothing."""
        while self.epoch < self.settings.epochs:
            yield self.train_epoch()

    def run(
        self,
        folder: Path,
        on_epoch: Callable[[EpochReport], None] = lambda report: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> ExitNetwork:
        """Train to the end, keeping a checkpoint in ``folder`` after every epoch; see `train`."""
        with held_back() if self.can_stop_within else nullcontext(self.interrupted) as interrupted:
            self.interrupted = interrupted
            self.run_epochs(folder, on_epoch, should_stop)
        return self.finished(folder)

    def run_epochs(
        self,
        folder: Path,
        on_epoch: Callable[[EpochReport], None] = lambda report: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train to the end, or to an interruption, keeping a checkpoint of where it stands."""
        try:
            for report in self.epochs():
                if self.peers.leads:
                    save_epoch(folder, self.checkpoint())
                    on_epoch(report)
                if should_stop() or self.interrupted():
                    return
        except StoppedWithinError:
            save_checkpoint(folder / LATEST, self.checkpoint())

    def train_epoch(self) -> EpochReport:
        """Train one epoch and measure it on the calibration split."""
        start = time.perf_counter() - self.within.seconds
        phase, within = self.settings.phase_at(self.epoch)
        if phase.loss == "v4" and not self.within.steps and (self.tags is None or within == 0):
            self.tags = self._tags(phase)
        loss, rate = self._pass_over_data(phase, within, start)
        self.within = Within(torch.zeros_like(self.within.loss))
        if phase.average and within == phase.epochs - 1:
            self._average(phase)
        if phase.loss == "v4":
            self.tags = self._tags(phase)
        self.epoch += 1
        report = self._measure(phase, loss, rate, start)
        self.history.append(report)
        self.seconds += report.seconds
        self._note_best()
        return report

    def _pass_over_data(self, phase: Phase, within: int, start: float = 0.0) -> tuple[float, float]:
        # Order and crops depend on seed and epoch alone: a resumed run repeats them.
        seed = self.settings.seed * 1_000_003 + self.epoch
        order = torch.Generator().manual_seed(seed)
        augmentation = torch.Generator().manual_seed(seed * 1009 + self.peers.rank)
        drops, begun = OwnGenerator(seed), self.within
        if begun.drawn is not None:
            drops.restore(begun.drawn)
        if self.device.type == "cuda":  # whose layers draw from a generator of the GPU's
            torch.cuda.manual_seed(seed)
        self._prepare(phase)
        steps = self.train.steps
        total = begun.loss.clone()
        rate = phase.learning_rate
        batches = self.train.epoch(order, augmentation, phase.cutout, self.peers)
        for step, batch in enumerate(batches):
            if step < begun.steps:
                continue
            rate = learning_rate(phase, (within + step / steps) / phase.epochs)
            set_rate(self.optimizer, rate)
            self.optimizer.zero_grad(set_to_none=True)
            with drops.at_step(step):
                total += self._step(phase, phase.loss_at(within * steps + step), batch)
            if self.interrupted():
                seconds = time.perf_counter() - start
                self.within = Within(total, step + 1, seconds, drops.state())
                raise StoppedWithinError
        return float(self.peers.sum(total)) / steps / self.peers.count, rate

    def _step(self, phase: Phase, loss_name: str, batch: Batch) -> Tensor:
        """Learn from one batch; return its loss."""
        if self.tags is not None:
            batch = replace(batch, tags=self.tags[batch.indices])
        learn = partial(self._learn, phase, loss_name)
        return learn(batch) if self.steps is None else self.steps.run(loss_name, learn, batch)

    def _learn(self, phase: Phase, loss_name: str, batch: Batch) -> Tensor:
        teacher = self.teacher if phase.distillation and not phase.self_taught else None
        with autocast(self.bfloat16, self.device):
            outputs = self._run(batch)
            known = batch.known
            if teacher and known is None:
                known = teacher(batch.pixels)
        loss = self._loss(phase, loss_name, *in_full_precision(outputs), batch, known)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _run(self, batch: Batch) -> Outputs:
        """Run the network on a batch, or what follows its frozen blocks on their features."""
        if batch.features is not None:
            return self.network.rest(batch.features, self.frozen)
        outputs: Outputs = self.model(self._input(batch))
        return outputs

    def _input(self, batch: Batch) -> Tensor:
        """Return images as the network reads them; floats are normalised already."""
        if batch.pixels.is_floating_point():
            return batch.pixels.contiguous(memory_format=torch.channels_last)
        images: Tensor = self.normalise(batch.pixels)
        return images

    def _average(self, phase: Phase) -> None:
        """Give the network the mean of its weights at the ends of the phases so far.

        Stochastic weight averaging (Izmailov et al., arXiv 1803.05407): each phase sweeps the
        learning rate once, as a cycle of theirs does.
        """
        if self.averaged is None:
            self.averaged = AveragedModel(self.network)
        self.averaged.update_parameters(self.network)
        if self.averaged.n_averaged > 1:
            self.network.load_state_dict(self.averaged.module.state_dict())
            # The batch statistics of what was averaged do not fit the mean. All processes measure
            # them on the same images.
            random = torch.Generator().manual_seed(self.settings.seed)
            batches = self.train.epoch(random, random, phase.cutout, Workers())
            with autocast(self.bfloat16, self.device), OwnGenerator(self.settings.seed):
                update_bn(map(self._input, batches), self.network)

    def _prepare(self, phase: Phase) -> None:
        """Freeze what the phase does not train: no gradient, no decay, no batch statistics."""
        names = list(self.network.heads)
        parts = {
            "all": [""],
            "heads": ["heads."],
            "exits": [f"heads.{name}." for name in names[:-1]],
            "confidence": [".confidence_branch."],
        }
        part = parts[phase.trains]
        still = tuple(
            f"trunk.blocks.{key(name)}." for name in self.network.trunk.names[: self.frozen]
        )
        if self.phase != phase:
            self.phase = phase
            weights = phase.exit_weights or (1.0,) * len(self.costs)
            self.exit_weights = torch.tensor(weights, device=self.device)
            if self.steps is not None:
                self.steps.forget()
            for name, parameter in self.network.named_parameters():
                learns = any(which in name for which in part) and not name.startswith(still)
                parameter.requires_grad_(learns)
                parameter.grad = None
            if self.peers.count > 1:
                ids = [self.device.index] if self.device.type == "cuda" else None
                self.model = DistributedDataParallel(self.network, device_ids=ids)
        self.model.train(phase.trains == "all")
        for block in self.network.trunk.blocks[: self.frozen]:
            block.eval()
        for name in {"heads": names, "exits": names[:-1]}.get(phase.trains, ()):
            self.network.heads[name].train()

    def _loss(
        self,
        phase: Phase,
        name: str,
        logits: Tensor,
        confidence: Tensor | None,
        batch: Batch,
        known: Tensor | None,
    ) -> Tensor:
        inputs = LossInputs(
            logits=logits,
            confidence_logits=confidence,
            labels=logits[:, -1].argmax(dim=1) if phase.targets == "network" else batch.labels,
            costs=self.costs,
            lambda_cost=phase.lambda_cost,
            exit_weights=self.exit_weights,
            label_smoothing=phase.label_smoothing,
            tags=batch.tags,
        )
        loss = LOSSES[name](inputs)
        if confidence is not None and self.peers.count > 1:
            # Peers wait for the gradient of every parameter, also of those a loss has no use for.
            loss = loss + 0 * (logits.sum() + confidence.sum())
        if phase.floor:
            loss = loss - phase.floor * inputs.likelihoods().sum(dim=1).mean()
        if phase.distillation:
            loss = loss + phase.distillation * distillation(logits, phase.temperature, known)
        return loss

    @torch.no_grad()
    def outputs(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor, Tensor | None]]:
        """Yield each batch with the exits' logits (B, E, K) and confidence logits (B, E−1)."""
        self.network.eval()
        for batch in batches:
            with autocast(self.bfloat16, self.device):
                outputs = self._run(batch)
            yield batch, *in_full_precision(outputs)

    def _tags(self, phase: Phase) -> Tensor:
        likelihoods = [
            LossInputs(
                logits, confidence, batch.labels, self.costs, phase.lambda_cost, self.costs
            ).likelihoods()
            for batch, logits, confidence in self.outputs(self.train.whole())
        ]
        return assign_tags(torch.cat(likelihoods), self.costs, phase.lambda_cost)

    def _measure(self, phase: Phase, loss: float, rate: float, start: float) -> EpochReport:
        answers, confidences, learned = [], [], False
        for batch, logits, confidence in self.outputs(self.calibration.whole()):
            right = logits.argmax(dim=2) == batch.labels[:, None]
            learned = confidence is not None
            if confidence is not None:
                scores = confidence.sigmoid()
            else:
                scores = logits[:, :-1].softmax(dim=2).amax(dim=2)
            answers.append(right)
            confidences.append(scores)
        right, scores = torch.cat(answers), torch.cat(confidences)  # (N, E), (N, E−1)
        stops = torch.cat([scores > LIVE_THRESHOLD, torch.ones_like(right[:, :1])], dim=1)
        exits = stops.int().argmax(dim=1)  # (N,)
        share = torch.bincount(exits, minlength=right.shape[1]) / len(exits)
        return EpochReport(
            epoch=self.epoch,
            loss=loss,
            accuracy=tuple(right.float().mean(dim=0).tolist()),
            exit_share=tuple(share.tolist()),
            relative_cost=float(self.costs[exits].mean()),
            policy_accuracy=float(right.gather(1, exits[:, None]).float().mean()),
            front_accuracy=front_accuracy(scores.cpu().numpy(), right.cpu().numpy(), self.parts),
            learning_rate=rate,
            seconds=time.perf_counter() - start,
            warning=warning_about(phase, loss, share.tolist(), learned),
        )

    def _note_best(self) -> None:
        first_of_last_phase = self.settings.epochs - self.settings.phases[-1].epochs
        candidates = [report for report in self.history if report.epoch > first_of_last_phase]
        # On the calibration split, by what is deployed; of equals the later one has seen more.
        candidates = candidates or self.history[-1:]
        self.best_epoch = max(
            candidates, key=lambda report: (report.front_accuracy, report.epoch)
        ).epoch

    def checkpoint(self) -> Checkpoint:
        """Everything that `restore` needs."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= optimizer_tensors(self.network, self.optimizer)
        if self.tags is not None:
            tensors["tags"] = self.tags
        if self.within.steps:
            tensors["within.loss"] = self.within.loss
            if self.within.drawn is not None:
                tensors["within.drawn"] = self.within.drawn
        if self.averaged is not None:
            tensors |= {f"averaged.{name}": t for name, t in self.averaged.state_dict().items()}
        facts = {
            "recipe": self.settings.model_dump(mode="json"),
            "epoch": self.epoch,
            "steps_within": self.within.steps,
            "seconds_within": self.within.seconds,
            "best_epoch": self.best_epoch,
            "seconds": self.seconds,
            "history": [asdict(report) for report in self.history],
        }
        return Checkpoint(tensors, facts)

    def restore(self, checkpoint: Checkpoint, source: str) -> None:
        """Go back to a checkpoint of the same recipe.

        Raises:
            UserError: the checkpoint belongs to another recipe, or to an earlier version.
        """
        history = checkpoint.facts["history"]
        if any("front_accuracy" not in row for row in history):
            raise UserError(
                f"the checkpoint {source} is of an earlier version, which chose the best epoch by "
                "the sum over all exits: finish it with that version, or start anew without "
                "--resume."
            )
        ours = self.settings.model_dump(mode="json")
        fields = type(self.settings).model_fields
        theirs = {name: fields[name].default for name in ours} | checkpoint.facts["recipe"]
        if theirs != ours:
            differing = ", ".join(name for name in ours if theirs[name] != ours[name])
            raise UserError(
                f"the checkpoint {source} was made by another recipe (it differs in {differing}): "
                "resume with the recipe it was made by, or start anew without --resume."
            )
        self.network.load_state_dict(checkpoint.part("network"))
        restore_optimizer(self.network, self.optimizer, checkpoint.part("optimizer"))
        tags = checkpoint.tensors.get("tags")
        self.tags = None if tags is None else tags.to(self.device)
        if averaged := checkpoint.part("averaged"):
            self.averaged = AveragedModel(self.network)
            self.averaged.load_state_dict(averaged)
        self.epoch = checkpoint.facts["epoch"]
        if steps := checkpoint.facts.get("steps_within", 0):
            part = checkpoint.part("within")
            loss, seconds = part["loss"].to(self.device), checkpoint.facts["seconds_within"]
            self.within = Within(loss, steps, seconds, part.get("drawn"))
        self.best_epoch = checkpoint.facts["best_epoch"]
        self.seconds = checkpoint.facts["seconds"]
        self.history = [EpochReport.from_dict(row) for row in history]

    def finished(self, folder: Path) -> ExitNetwork:
        """Return the network in eval mode, on the CPU, with the weights of the best epoch."""
        if self.peers.leads:
            self.network.load_state_dict(load_checkpoint(folder / BEST).part("network"))
        network = self.network.to(memory_format=torch.contiguous_format).cpu().eval()
        network.training_result = TrainingResult(
            settings=self.settings,
            history=self.history,
            best_epoch=self.best_epoch,
            seconds=self.seconds,
            transform=self.transform,
            bfloat16=self.bfloat16,
            workers=self.peers.count,
            hardware=hardware(self.device),
        )
        return network


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
) -> ExitNetwork:
    """Train a recipe to its end, keeping a checkpoint after every epoch.

    Under torchrun, all processes train together and the first one writes. An interrupt waits for
    the end of the step under way and loses nothing; under torchrun, it loses the epoch under way.

    Args:
        recipe: what to train.
        out: folder for ``checkpoint.safetensors`` (resuming) and ``best.safetensors``.
        data: root of the prepared data sets.
        resume: go on from ``out``'s checkpoint, if there is one, which gives the same weights as an
            uninterrupted run (bit for bit on a CPU with the same number of threads).
        device: "cpu" or "cuda".
        on_epoch: called after each epoch, in the leading process.
        should_stop: called after each epoch; True ends the training there, with the best epoch so
            far. Under torchrun it must return the same in all processes.
        find: looks up the trained networks that the recipe builds on.

    Returns:
        The network, with the weights of its best epoch on calibration; its `training_result`
        holds the facts of the run.

    Raises:
        UserError: no data, a foreign checkpoint to resume, or one that would be overwritten.
    """
    known = earlier_run(out, resume)
    with workers(device) as peers:
        train_set = load_split(recipe.dataset, "train", data)
        calibration = load_split(recipe.dataset, "calibration", data)
        place = device_for(device, peers)
        features = out / f"features-{_digest(recipe)}"
        trainer = Trainer.of_recipe(recipe, train_set, calibration, place, peers, find, features)
        if known:
            trainer.restore(load_checkpoint(out / LATEST), str(out / LATEST))
        return trainer.run(out, on_epoch, should_stop)


def _digest(recipe: Recipe) -> str:
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:8]
