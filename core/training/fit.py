"""Training from Python: a network, images of one's own, and a preset."""

import copy
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from scipy.stats import binomtest
from torch.utils.data import DataLoader, Dataset, Subset

from core.data.hold_out import hold_out
from core.data.labelled import Labelled, Reader
from core.data.prepared import ImageSet, check_disjoint
from core.data.transform import EvaluationTransform, Transform, UnstorableTransformError
from core.foundation.errors import UserError
from core.networks.cost import count
from core.networks.network import ExitNetwork
from core.networks.normalisation import Normalisation
from core.networks.spec import NetworkSpec
from core.training.checkpoint import LATEST, earlier_run, load_checkpoint
from core.training.data import Batch, DeviceImages, Source, check_images
from core.training.device import checked_device
from core.training.distributed import Workers
from core.training.loop import Trainer
from core.training.preset import load_preset
from core.training.progress import EpochReport, epoch_bar
from core.training.recipe import Settings
from core.training.stream import StreamedImages

SAMPLE = 1000
"""How many training images are looked at before the training begins."""
SIGNIFICANCE = 0.01
"""A network that is to stay as it is must be better than chance at this level."""


def fit(
    network: ExitNetwork,
    train: Labelled | ImageSet,
    calibration: Labelled | ImageSet | None = None,
    recipe: str = "frozen-exits",
    *,
    transform: Transform | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    workers: int = 2,
    progress: bool = True,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    **fields: Any,
) -> ExitNetwork:
    """Train a network's early exits, or all of it, on labelled images.

    Args:
        network: stays as it is; what is trained is a copy.
        train: a torch Dataset of (image, label), a DataLoader of batches of them, or an
            `ImageSet`, which alone is held in memory. An image is a picture (PIL), bytes of the
            network's size (uint8, as an array (H, W, C) or a tensor (C, H, W)), or a float tensor
            (C, H, W) that is normalised already.
        calibration: likewise, and other images; every epoch is measured on it, and nothing learns
            from it. None: a tenth of ``train`` is held out, ``core.hold_out(train)[1]``.
        recipe: "frozen-exits" (the network stays as it is, its exits learn), "joint" (all learn
            together), "fine-tune" (a pretrained network for new classes), or a TOML file of
            `Settings`.
        transform: how a picture becomes what the network reads, as in torchvision. By default
            that of the network's earlier training; else the largest central square is resized,
            and bytes are normalised by ``mean`` and ``std``, or as measured on ``train``.
        out: folder for a checkpoint after every epoch; by default one that is deleted.
        resume: go on from ``out``'s checkpoint, if there is one, which gives the same weights as an
            uninterrupted run (bit for bit on a CPU with the same number of threads and workers).
        device: "cpu" or "cuda".
        workers: processes that read the images of a Dataset.
        progress: whether to show a bar and a line for each epoch on stderr.
        on_epoch: called with a report on each epoch.
        fields: of `Settings` and of every `Phase`, instead of the preset's: ``epochs`` (of all
            phases together), ``learning_rate`` (the highest), ``batch_size``, ``seed``,
            ``lambda_cost``, ``flip``, ``crop_pad``, …; or ``phases``, a list.

    Returns:
        The trained copy in eval mode, on the CPU, with the weights of the best epoch: that
        whose accuracy–cost front on calibration is the highest (`core.training.selection`). Its
        `training_result` holds the facts.

    Raises:
        UserError: unknown or invalid fields; images or labels that do not fit the network; a
            network to be frozen that is not better than chance on ``train``; a checkpoint of
            another run, or one that would be overwritten; calibration images that are training
            images, as far as that can be seen without reading them all.
    """
    if calibration is None:
        train, calibration = hold_out(train)
    _check_apart(train, calibration)
    if out is None and resume:
        raise UserError("expected `out` with `resume`, but got none: name the folder of the run.")
    known = out is not None and earlier_run(Path(out), resume)
    place = checked_device(device)
    spec = network.spec
    heads = list(network.heads.values())
    confident = any(getattr(head, "confidence_branch", None) is not None for head in heads)
    settings = load_preset(recipe, fields, exits=len(heads) > 1, confidence=confident)
    if transform is None and network.training_result is not None:
        transform = network.training_result.transform
    reading = _reading(transform, spec, settings)
    training, measuring = (
        _source(data, name, reading, spec, settings, place, workers)
        for name, data in (("train", train), ("calibration", calibration))
    )
    if isinstance(training, StreamedImages) and any(
        phase.loss == "v4" for phase in settings.phases
    ):
        raise UserError(
            "expected a loss that needs one batch at a time, but v4 compares all training images "
            "after every epoch: pass them as an ImageSet, or choose v2."
        )
    in_bytes = _in_bytes(training, measuring, settings)
    if in_bytes and transform is None and settings.mean is None:
        measured = Normalisation.measured(
            batch.pixels.permute(0, 2, 3, 1).cpu().numpy() for batch in _sample(training, settings)
        )
        reading = _square(spec, measured.mean, measured.std)
    own = copy.deepcopy(network)
    trainer = Trainer(
        settings,
        own,
        count(own, spec.in_channels, spec.image_size).costs,
        reading if in_bytes or transform is not None else None,
        training,
        measuring,
        place,
    )
    if known:
        latest = Path(str(out)) / LATEST
        trainer.restore(load_checkpoint(latest), str(latest))
    elif settings.phases[0].trains in ("exits", "confidence"):
        _check_better_than_chance(trainer, spec.num_classes)
    with (
        tempfile.TemporaryDirectory() if out is None else nullcontext(out) as folder,
        epoch_bar(recipe, settings.epochs, progress) as show,
    ):

        def tell(report: EpochReport) -> None:
            show(report)
            on_epoch(report)

        return trainer.run(Path(folder), tell)


def _check_apart(train: Labelled | ImageSet, calibration: Labelled | ImageSet) -> None:
    """Raise `UserError` where calibration images are known to be training images, too."""
    if isinstance(train, ImageSet) and isinstance(calibration, ImageSet):
        check_disjoint(calibration, train)
        return
    (ours, here), (theirs, there) = (_origin(data) for data in (train, calibration))
    if ours is theirs and (here is None or there is None or here & there):
        raise UserError(
            "expected other images in `calibration` than in `train`, but some are in both: leave "
            "`calibration` out to have a tenth of `train` held out, or divide it by "
            "`core.hold_out(train)`."
        )


def _origin(data: object) -> tuple[object, set[int] | None]:
    """Return the data set that images are of, and which of them; None for all."""
    if isinstance(data, DataLoader):
        data = data.dataset
    if isinstance(data, Subset):
        return data.dataset, set(map(int, data.indices))
    return data, None


def _square(spec: NetworkSpec, mean: Sequence[float], std: Sequence[float]) -> EvaluationTransform:
    return EvaluationTransform.square(spec.image_size, spec.in_channels, mean, std)


def _reading(
    transform: Transform | None, spec: NetworkSpec, settings: Settings
) -> Transform | None:
    """Return how pictures are read, as a value where that is possible; None if they cannot be."""
    channels = spec.in_channels
    if transform is None and channels not in (1, 3):
        return None
    if transform is None:
        mean, std = settings.mean or (0.0,) * channels, settings.std or (1.0,) * channels
        if len(mean) != channels:
            raise UserError(
                f"expected `mean` and `std` to have {channels} numbers, one for each channel that "
                f"the network reads, but got {len(mean)}."
            )
        return _square(spec, mean, std)
    if settings.mean is not None:
        raise UserError(
            "expected either `transform` or `mean` and `std`, but got both: a transform normalises "
            "by itself."
        )
    try:
        return EvaluationTransform.of(transform, (channels, spec.image_size, spec.image_size))
    except UnstorableTransformError:
        return transform


def _source(
    data: Labelled | ImageSet,
    name: str,
    reading: Transform | None,
    spec: NetworkSpec,
    settings: Settings,
    device: torch.device,
    workers: int,
) -> Source:
    """Return labelled images as a trainer takes them; those to learn from are augmented."""
    crop_pad, flip = (settings.crop_pad, settings.flip) if name == "train" else (0, False)
    if isinstance(data, ImageSet):
        check_images(data, spec, "the network")
        if not isinstance(reading, EvaluationTransform):
            raise UserError(
                "expected a `transform` whose steps are known with an ImageSet, but got "
                f"{type(reading).__name__}: pass a Dataset of pictures, or `mean` and `std`."
            )
        return DeviceImages(data, device, settings.batch_size, crop_pad, flip)
    if not isinstance(data, Dataset | DataLoader):
        raise UserError(
            f"expected `{name}` to be a torch Dataset or DataLoader of (image, label), or an "
            f"ImageSet, but got {type(data).__name__}."
        )
    shape = spec.in_channels, spec.image_size, spec.image_size
    reader = Reader(f"`{name}`", shape, spec.num_classes, reading)
    return StreamedImages(data, reader, device, settings.batch_size, workers, crop_pad, flip)


def _sample(source: Source, settings: Settings) -> Iterator[Batch]:
    """Yield the first batches of an epoch, until they are `SAMPLE` images."""
    order, augmentation = (torch.Generator().manual_seed(settings.seed) for _ in range(2))
    seen = 0
    for batch in source.epoch(order, augmentation, 0, Workers()):
        yield batch
        seen += len(batch.labels)
        if seen >= SAMPLE:
            return


def _in_bytes(training: Source, measuring: Source, settings: Settings) -> bool:
    """Return whether images come as bytes; what does not fit is noticed before anything is run."""
    kinds = [next(_sample(source, settings)).pixels.dtype for source in (training, measuring)]
    if kinds[0] != kinds[1]:
        raise UserError(
            f"expected `train` and `calibration` to be of one kind, but got "
            f"{' and '.join(str(kind).removeprefix('torch.') for kind in kinds)}: let both give "
            "pictures, or both tensors that are normalised already."
        )
    return kinds[0] == torch.uint8


def _check_better_than_chance(trainer: Trainer, num_classes: int) -> None:
    """Raise `UserError` if a network that stays as it is knows nothing of the training images."""
    right = total = 0
    for batch, logits, _ in trainer.outputs(_sample(trainer.train, trainer.settings)):
        right += int((logits[:, -1].argmax(dim=1) == batch.labels).sum())
        total += len(batch.labels)
    if binomtest(right, total, 1 / num_classes, "greater").pvalue > SIGNIFICANCE:
        raise UserError(
            f"expected a network that knows the training images, as it stays as it is, but its "
            f"final exit is right on {right} of {total}, which may be chance among {num_classes} "
            "classes: check that the labels count the classes in the order of the network's "
            "outputs (folders named 1 to 12 are often sorted as text: 1, 10, 11, 12, 2) and that "
            'images are normalised as it was trained, or train it ("joint", "fine-tune").'
        )
