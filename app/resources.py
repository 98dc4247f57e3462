"""Models, tables and samples: loaded once, and shared by all visitors."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.queue import Queue
from app.saliency_maps import SaliencyMaps
from app.session import latest, own_model, own_model_names, own_pictures
from app.shared import SharedResults
from app.turns import Turns
from app.wall_times import WallTime, WallTimes
from core.analysis.compare import Comparison, compare
from core.analysis.counterfactuals import versions
from core.analysis.drift import Drifted, UnderDrift
from core.analysis.drift import under_drift as analyse_drift
from core.data.downloads import Downloads
from core.data.prepared import ImageSet, load_prepared, prepared_path
from core.data.samples import load_samples, sample_names
from core.data.splits import SAMPLES_ONLY
from core.data.transform import EvaluationTransform
from core.data.uploads import Collection
from core.exits.certainty import Certainty, certainty
from core.exits.cost_controller import HeldCost
from core.exits.criteria import CRITERIA
from core.exits.metrics import confusion, reliability
from core.exits.policy import Policy
from core.exits.report import Report, evaluate
from core.exits.routing import route
from core.exits.table import BoolArray, CostArray, ExitTable, FloatArray, IntArray, joined
from core.foundation.errors import UserError
from core.foundation.public import is_public
from core.hub.card import Card
from core.hub.drift import corrupted_tables, load_drift, undrifted
from core.hub.leaderboard import Entry
from core.hub.leaderboard import leaderboard_entry as entry_of
from core.hub.likeness import Likeness, likeness_of
from core.hub.likeness import unlike as told_unlike
from core.hub.methods import own_criterion
from core.hub.registry import DRIFT, Catalogue, FoundModel, as_zip, tables_of
from core.hub.registry import front_of as search_front
from core.tuning.calibration import (
    ProbabilityQuality,
    calibrated,
    probability_quality,
    temperatures_for,
)
from core.tuning.front import Front, front, replay
from core.tuning.promise import Promise, Walk, has_same_images, lay, reference_right
from core.tuning.promise import promised as cheapest_promised
from core.tuning.selective import SELECTIVE, selective_error

if TYPE_CHECKING:
    from core.deploy.benchmark import Latency, PartTimes, StageTimes
    from core.deploy.runtimes import Runtime
    from core.edge_cloud.plan import TrainingTimes
    from core.foundation.jobs import Job, OnProgress
    from core.hub.model import Model
    from core.hub.own_splits import OwnSplits
    from core.hub.scoring import Scored
    from core.networks.cut import CutPoint
    from core.networks.outline import StageOutline
    from core.tuning.guarantee import Controlled, Simulation
    from core.tuning.how_many import HowMany
    from core.tuning.naive import NaiveSets
    from core.tuning.selective import Selective

SCORED_AT_ONCE, MOST_WAITING, LONGEST_WAIT = 4, 20, 600.0
"""Collections of visitors' own images, and seconds in the queue."""
WHOLE_CLASS, LESSON = 60, 5400.0
"""Trainings that may wait, and seconds in their queue."""
PART = 20
"""Images that one turn of work in the background takes."""
NEIGHBOURS = 1000
"""Images among which neighbours are looked for."""
EXAMPLES = 200
"""How many test images stand in where no samples ship."""


def version_of(name: str) -> str:
    """Return what tells a model from all others, those of its name with other weights included."""
    return found(name).version


RESULTS = SharedResults()
"""What all visitors share, in one budget."""
_shared = RESULTS
of_model = partial(RESULTS, version=version_of)
"""Decorates a function whose first argument names a model: computed once for all visitors."""


def threads() -> int:
    """Return how many threads a network may use: `$EENET_THREADS`, else 1.

    One image at a time gains little from more, and several visitors would fight over the cores.
    """
    chosen = os.environ.get("EENET_THREADS", "")
    return max(int(chosen), 1) if chosen.isdecimal() else 1


@cache
def _catalogue() -> Catalogue:
    return Catalogue()


def model_names() -> list[str]:
    """Return the models to choose from: of the largest pictures first, plain ones last.

    Of equally large ones, those whose own thresholds are promised to lose little come first.

    Looks for models that came or changed since; other functions rely on what it found.
    """
    _catalogue().refresh()
    own = own_model_names()
    shared = [name for name in _catalogue().models if name not in own]

    cards = cards_of([*shared, *own])

    def rank(name: str) -> tuple[bool, int, bool, bool]:
        card = cards.get(name)
        if card is None:
            return True, 0, True, True
        size, is_eenet = card.spec.image_size, card.method == "eenet"
        return card.num_exits == 1, -size, card.default_point is None, not is_eenet

    return sorted([*shared, *own], key=rank)


def cards_of(names: Iterable[str]) -> dict[str, Card]:
    """Return the cards of models, by name, without those that cannot be read.

    What is wrong with them is said when they are chosen.
    """
    cards = {}
    for name in names:
        with suppress(UserError):
            cards[name] = card_of(name)
    return cards


def found(name: str) -> FoundModel:
    """Return a model's folder and card: this session's own models come before the shared ones."""
    return own_model(name) or _catalogue().model(name)


def folder_of(name: str) -> Path:
    """Return a model's folder."""
    return found(name).folder


def card_of(name: str) -> Card:
    """Return a model's card."""
    return found(name).card


def model(name: str) -> "Model":
    """Return a model with its network."""
    here = found(name)
    return _loaded(here.folder, here.version)


@_shared("Loading the network …")
def _loaded(folder: Path, version: str) -> "Model":
    import torch

    from core.hub.model import load

    torch.set_num_threads(threads())
    return load(folder).optimised()


def title_of(name: str) -> str:
    """Return a model's title; its name where its card cannot be read."""
    cards = cards_of([name])
    return cards[name].title if cards else name


@of_model()
def archive(name: str) -> bytes:
    """Return a model's folder as a ZIP archive."""
    return as_zip(folder_of(name))


@cache
def taking_turns() -> Turns:
    """Return the turns of heavy work: no more networks run at once than there are cores for."""
    return Turns(max((os.cpu_count() or 2) // threads(), 1))


@cache
def downloads() -> Downloads:
    """Return the data sets that are being downloaded, for whichever visitor."""
    return Downloads()


def scoring(name: str, collection: Collection) -> "Job[Scored]":
    """Begin to score a visitor's own images by a model, in turns with other work."""
    from core.foundation.jobs import Job
    from core.hub.scoring import score

    scorer = model(name)

    def work(on_progress: "OnProgress") -> "Scored":
        with scoring_queue().place(on_progress):
            return score(scorer, collection, on_progress, turn=taking_turns().in_background)

    return Job(
        work,
        "Scoring the images broke off, and the reason has been written to the log: try fewer, or "
        "other ones.",
    )


def splitting(
    name: str, scored: "Scored", folder: Path, share: float, seed: int
) -> "Job[OwnSplits]":
    """Begin to make a model of a visitor's own labelled images, in turns with other work.

    Args:
        name: of the model that scored them.
        scored: the images.
        folder: for the model.
        share: of the images that choose thresholds.
        seed: of the draw.
    """
    from core.foundation.jobs import Job
    from core.hub.own_splits import split_own

    plain_name = card_of(name).plain
    known = plain_name is not None and plain_name.name in model_names()
    scorer, plain = model(name), model(plain_name.name) if plain_name and known else None

    def work(on_progress: "OnProgress") -> "OwnSplits":
        turn = taking_turns().in_background
        with scoring_queue().place(on_progress):
            return split_own(
                scorer, plain, scored, folder, on_progress, share=share, seed=seed, turn=turn
            )

    return Job(work, "Dividing the images broke off, and the reason has been written to the log.")


@cache
def scoring_queue() -> Queue:
    """Return the queue for scoring visitors' own images."""
    return Queue(SCORED_AT_ONCE, MOST_WAITING, LONGEST_WAIT)


@cache
def training_queue() -> Queue:
    """Return the queue for trainings: a place for every two cores, the others are the pages'.

    A class waits for as long as a lesson lasts; strangers wait as for anything else.
    """
    import torch

    torch.set_num_threads(threads())
    places = max((os.cpu_count() or 2) // (2 * threads()), 1)
    if is_public():
        return Queue(places, MOST_WAITING, LONGEST_WAIT)
    return Queue(places, WHOLE_CLASS, LESSON)


@of_model("Reading the exits' answers …")
def tables(name: str) -> dict[str, ExitTable]:
    """Return the tables that a model was saved with, by split; needs no torch."""
    return tables_of(folder_of(name))


def table_on(name: str, split: str) -> ExitTable:
    """Return a model's table of a split.

    Raises:
        UserError: it was saved without one.
    """
    found = tables(name)
    if split not in found:
        raise UserError(
            f"expected {card_of(name).title} to have a table of its {split} split, but it was "
            f"saved without one: save it again with `model.save(folder, {split}=…)`."
        )
    return found[split]


def shown_split(name: str) -> str:
    """Return the split that a model's figures are of: "test", or "calibration" without one."""
    return "test" if "test" in tables(name) else "calibration"


def shown_table(name: str) -> ExitTable:
    """Return the table that a model's figures are of.

    Raises:
        UserError: it was saved without any.
    """
    return table_on(name, shown_split(name))


@of_model()
def report_on(name: str, split: str, policy: Policy) -> Report:
    """Return what a policy achieves on a split."""
    return evaluate(table_on(name, split), policy)


@of_model()
def risk_of(name: str, policy: Policy, risk: str) -> float | tuple[float | None, ...] | None:
    """Return a risk of a policy on the test split, exit by exit for `SELECTIVE`; None without."""
    from core.tuning.guarantee import risk_on

    table = tables(name).get("test")
    if table is None:
        return None
    selective = risk == SELECTIVE
    return selective_error(route(table, policy)) if selective else risk_on(table, policy, risk)


@of_model()
def reference_on(name: str, split: str) -> BoolArray | None:
    """Return ``(N,)`` whether the plain network is right on each image of a model's split.

    None where its answers are not known: differences then count from the last exit.
    """
    plain = plain_on(name, split)
    return None if plain is None else reference_right(table_on(name, split), plain)


def plain_on(name: str, split: str) -> ExitTable | None:
    """Return the plain network's table of the images of a model's split, if there is one."""
    plain = card_of(name).plain
    try:
        table = None if plain is None else tables(plain.name).get(split)
    except UserError:
        return None
    same = table is not None and has_same_images(table, table_on(name, split))
    return table if same else None


@of_model()
def certainty_on(name: str, split: str, policy: Policy) -> Certainty | None:
    """Return how sure the figures of a policy on a split are; None without labels."""
    return certainty(table_on(name, split), policy, reference_on(name, split))


@of_model("Fitting temperatures …")
def temperatures_of(name: str) -> tuple[float, ...]:
    """Return the temperatures of a model's exits.

    Raises:
        UserError: as `core.tuning.calibration.temperatures_for`.
    """
    return temperatures_for(table_on(name, "calibration"))


@of_model()
def quality_on(name: str, split: str, temperatures: tuple[float, ...] | None) -> ProbabilityQuality:
    """Return how well the probabilities of a model's exits match their accuracy on a split."""
    return probability_quality(table_on(name, split), temperatures)


def comparison(name: str, policy: Policy, other: str, other_policy: Policy) -> Comparison:
    """Return a comparison of two configurations on the split that the first model's figures are of.

    Raises:
        UserError: the models were not measured on the same images.
    """
    return _comparison(name, policy, other, other_policy, version_of(other))


@of_model()
def _comparison(
    name: str, policy: Policy, other: str, other_policy: Policy, other_version: str
) -> Comparison:
    found = compare(shown_table(name), policy, shown_table(other), other_policy)
    # What the page shows is computed once, too.
    _ = found.first, found.second, found.exits, found.changes
    return found


@of_model()
def reliability_on(
    name: str, split: str, exit_index: int, temperatures: tuple[float, ...] | None
) -> tuple[CostArray, CostArray, IntArray]:
    """Return the reliability of an exit on a split, as `core.exits.metrics.reliability`."""
    table = table_on(name, split)
    probability = CRITERIA["max_probability"].score(calibrated(table, temperatures), exit_index)
    return reliability(probability, table.right[:, exit_index])


@of_model()
def confusion_on(name: str, split: str, exit_index: int) -> IntArray:
    """Return how often an exit answers each label by each class on a split, (K, K)."""
    return confusion(table_on(name, split), exit_index)


@of_model("Searching the best thresholds …")
def front_of(name: str, criterion: str, temperatures: tuple[float, ...] | None) -> Front:
    """Return the best policies there are on a model's calibration split."""
    calibration = table_on(name, "calibration")
    if temperatures is None:
        return search_front(folder_of(name), calibration, criterion)
    return front(calibration, criterion, temperatures)


@of_model("Searching the best thresholds …")
def front_on(
    name: str, criterion: str, temperatures: tuple[float, ...] | None, split: str
) -> tuple[CostArray, CostArray, IntArray]:
    """Return relative costs and accuracies on ``split`` of policies of `front_of`, and which."""
    return replay(front_of(name, criterion, temperatures), table_on(name, split))


@of_model("Comparing the methods …")
def leaderboard_entry(name: str) -> Entry:
    """Return what a model achieves with its method's own score."""
    card = card_of(name)
    best = front_of(name, own_criterion(card.method, card.criteria), None)
    return entry_of(card, best, table_on(name, "test"))


@of_model("Proving …")
def guaranteed(
    name: str,
    criteria: tuple[str, ...],
    temperatures: tuple[float, ...] | None,
    epsilon: float,
    delta: float,
    risk: str,
) -> "Controlled":
    """Return the cheapest policy whose risk is proven on a model's calibration split."""
    from core.tuning.guarantee import control

    table = calibrated(table_on(name, "calibration"), temperatures)
    proven = control(table, criteria, epsilon, delta, risk=risk)
    return replace(proven, policy=replace(proven.policy, temperatures=temperatures))


@of_model("Proving …")
def promised(
    name: str,
    criteria: tuple[str, ...],
    temperatures: tuple[float, ...] | None,
    max_drop: float,
    confidence: float,
) -> Promise:
    """Return the cheapest policy that is promised to lose at most so much accuracy.

    Of several criteria, the samples that lay the paths choose the one that gets cheapest.
    """
    walks = [walk for criterion in criteria for walk in walks_of(name, criterion, temperatures)]
    found = cheapest_promised(walks, max_drop, confidence)
    return replace(found, policy=replace(found.policy, temperatures=temperatures))


@of_model("Laying paths of thresholds …")
def walks_of(name: str, criterion: str, temperatures: tuple[float, ...] | None) -> list[Walk]:
    """Return paths of policies and what they do on the calibration samples that prove."""
    table = calibrated(table_on(name, "calibration"), temperatures)
    return lay(table, criterion, reference_on(name, "calibration"))


@of_model("Searching the best thresholds on 60 sets of images …")
def naive_sets(name: str, samples: int) -> "NaiveSets":
    """Return simulated calibration sets of a model, and what naive tuning finds on them."""
    from core.tuning.naive import NaiveSets

    criteria = [one for one in card_of(name).criteria if not CRITERIA[one].history]
    with taking_turns()():
        return NaiveSets.of(shown_table(name), criteria, samples)


@of_model()
def naive_choices(name: str, samples: int, max_drop: float) -> tuple[CostArray, CostArray]:
    """Return the true drops and relative costs of what naive tuning takes on `naive_sets`."""
    return naive_sets(name, samples).choose(shown_table(name), max_drop)


@of_model("Trying calibration splits of several sizes …")
def images_needed(
    name: str,
    criteria: tuple[str, ...],
    temperatures: tuple[float, ...] | None,
    max_drop: float,
    confidence: float,
) -> "HowMany":
    """Return what calibration splits of several sizes are likely to prove."""
    from core.tuning.how_many import how_many

    walks = [walk for criterion in criteria for walk in walks_of(name, criterion, temperatures)]
    with taking_turns()():
        return how_many(walks, max_drop, confidence, draws=100)


@of_model("Proving …")
def selective(
    name: str,
    criterion: str,
    temperatures: tuple[float, ...] | None,
    epsilon: float,
    delta: float,
) -> "Selective":
    """Return the cheapest policy whose errors at every early exit are proven to be few."""
    from core.tuning.selective import control_selective

    table = calibrated(table_on(name, "calibration"), temperatures)
    proven = control_selective(table, criterion, epsilon, delta)
    return replace(proven, policy=replace(proven.policy, temperatures=temperatures))


@of_model("Choosing thresholds 200 times …")
def simulated(name: str, criterion: str, epsilon: float, samples: int) -> "Simulation":
    """Return what 200 calibration sets of a model's lead to, with risk control and without."""
    from core.tuning.guarantee import simulate
    from core.tuning.path import agreement_path

    path = agreement_path(table_on(name, "calibration"), criterion)
    return simulate(path, shown_table(name), epsilon, samples=samples)


@of_model()
def shipped_drift(name: str) -> dict[str, dict[float, Drifted]]:
    """Return the tables of corrupted test images that ship with a model, as `load_drift`."""
    tests = tables(name).get("test")
    return {} if tests is None else load_drift(folder_of(name), card_of(name), tests)


def ships_drift(name: str) -> bool:
    """Return whether tables of corrupted test images ship with a model."""
    return (folder_of(name) / DRIFT).is_file()


def drifted(name: str, corruption: str, severity: float) -> Drifted | None:
    """Return what a model made of the whole test split under a corruption; None: not run yet."""
    found: Drifted | None = RESULTS.find(_drift_key(name, corruption, severity))
    return found


def _drift_key(name: str, corruption: str, severity: float) -> tuple[object, ...]:
    return "drifted", version_of(name), corruption, severity


def drifting(
    name: str, images: NDArray[np.uint8], corruption: str, severities: Sequence[float]
) -> "Job[None]":
    """Begin to run a model and its plain network on corrupted test images, for `drifted`.

    Args:
        name: of the model.
        images: (N, H, W, C) of its test table, in that order.
        corruption: a name in `core.analysis.corruptions.CORRUPTIONS`.
        severities: above 0; those that were run already are left out.
    """
    from core.foundation.jobs import Job

    plain = card_of(name).plain
    runner = model(name)
    reference = model(plain.name) if plain is not None and plain.name in model_names() else None
    clean = table_on(name, "test")
    wanted = {one: _drift_key(name, corruption, one) for one in severities}
    missing = {one: key for one, key in wanted.items() if RESULTS.find(key) is None}

    def work(on_progress: "OnProgress") -> None:
        for done, (severity, key) in enumerate(missing.items()):

            def on_part(fraction: float, message: str, done: int = done) -> None:
                on_progress((done + fraction) / len(missing), message)

            found = corrupted_tables(
                *(runner, reference, images, clean, corruption, severity, on_part),
                turn=taking_turns().in_background,
            )
            RESULTS.keep(key, found)

    return Job(
        work,
        "Running the corrupted images broke off, and the reason has been written to the log.",
    )


@of_model()
def held_cost(name: str, policy: Policy) -> HeldCost:
    """Return the cost of a policy on a model's calibration split, to be held."""
    return HeldCost.of(table_on(name, "calibration"), policy)


@of_model("Streaming the corrupted images …")
def under_drift(
    name: str, whole: bool, corruption: str, severity: float, policy: Policy
) -> UnderDrift:
    """Return what a corruption does to a policy and to its held cost.

    Args:
        name: of the model.
        whole: whether the whole test split was run, see `drifted`; else the tables that ship.
        corruption: a name in `core.analysis.corruptions.CORRUPTIONS`.
        severity: that is known.
        policy: the fixed one.
    """
    if whole:
        clean = undrifted(card_of(name), table_on(name, "test"))
        found = drifted(name, corruption, severity) if severity else clean
        assert found is not None
    else:
        shipped = shipped_drift(name)[corruption]
        clean, found = shipped[0.0], shipped[severity]
    return analyse_drift(clean, found, held_cost(name, policy))


def samples(card: Card) -> ImageSet | None:
    """Return the images that ship for a model's data set, as the network reads them, or None."""
    source = "mnist" if card.dataset == SAMPLES_ONLY else card.dataset
    # What comes after the pixels differs between models of a data set, and is not applied.
    channels = len(card.mean)
    whole = {"mean": (0.0,) * channels, "std": (1.0,) * channels, "reciprocal": False}
    pixels = card.evaluation_transform.model_copy(update=whole)
    return _samples(source, pixels) if source in sample_names() else None


@_shared()
def _samples(dataset: str, transform: EvaluationTransform) -> ImageSet:
    return load_samples(dataset, transform=transform)


def test_images(card: Card) -> ImageSet | None:
    """Return the test images of a model's data set, or None where they do not lie on the disk.

    Encoded pictures are not read.

    Raises:
        UserError: they do, but they are damaged.
    """
    dataset = card.dataset
    if dataset == SAMPLES_ONLY:
        return samples(card)
    path = prepared_path(dataset, "test")
    if not path.is_file():
        return None
    return _test_images(dataset, str(path.parents[1]), path.stat().st_mtime_ns)


@_shared("Reading the test images …")
def _test_images(dataset: str, root: str, changed: int) -> ImageSet:
    images = load_prepared(dataset, "test", Path(root))
    assert isinstance(images, ImageSet)  # `changed` is of the file with the arrays
    return images


def examples(card: Card) -> ImageSet | None:
    """Return images to try a network on: a visitor's own, those that ship, or some on the disk.

    Raises:
        UserError: none ship, and the data set on the disk is damaged.
    """
    own = own_pictures(card.name)
    if own is not None:
        return own
    shipped = samples(card)
    prepared = test_images(card) if shipped is None else None
    if prepared is None or prepared.classes != card.classes:
        return shipped
    return _spread(prepared, EXAMPLES)


@of_model()
def unlike(name: str, pixels: NDArray[np.uint8]) -> str | None:
    """Return a sentence where a picture is unlike what a network learned from; else None.

    By what the network sees in it, where features of training images ship with the model; else by
    brightness, contrast and colour.

    Args:
        name: of the model.
        pixels: (H, W, C), as the network reads them.
    """
    likeness, known = _likeness(name), examples(card_of(name))
    with taking_turns()():
        runner = model(name)
        return told_unlike(runner, pixels, likeness, None if known is None else known.images)


@of_model()
def _likeness(name: str) -> Likeness | None:
    return likeness_of(folder_of(name), card_of(name))


@of_model("Running the network on the samples …")
def sample_table(name: str) -> ExitTable:
    """Return every exit's answers to the samples that ship for a model's data set."""
    shipped = samples(card_of(name))
    assert shipped is not None
    runner = model(name)
    with taking_turns()():
        return runner.table(shipped.images, shipped.labels)


@of_model()
def table_of(name: str, images: NDArray[np.uint8]) -> ExitTable:
    """Return every exit's answers to some images, (N, H, W, C) as the network reads them."""
    runner = model(name)
    with taking_turns()():
        return runner.table(images)


def versions_scored(name: str, pixels: NDArray[np.uint8]) -> "Job[ExitTable]":
    """Begin to run a model on all `versions` of an image (H, W, C)."""
    from core.foundation.jobs import Job

    runner = model(name)

    def work(on_progress: "OnProgress") -> ExitTable:
        images = versions(pixels)
        parts = []
        for start in range(0, len(images), PART):
            on_progress(start / len(images), "Running the corrupted images …")
            with taking_turns().in_background():
                parts.append(runner.table(images[start : start + PART]))
        return joined(parts)

    return Job(work, "The corrupted images could not be run; the reason is in the log.")


Pool = tuple[ImageSet, str]
"""Images, and what they are."""
TEST_IMAGES = "test images"


def neighbour_pool(card: Card) -> Pool | None:
    """Return the images among which neighbours are looked for; None for none.

    A visitor's own, else test images on the disk, else those that ship.
    """
    pool, kind = own_pictures(card.name), "test images of your own"
    if pool is None:
        with suppress(UserError):  # damaged files, which other pages tell of
            pool, kind = test_images(card), TEST_IMAGES
    if pool is None:
        pool, kind = samples(card), "samples that ship"
    if pool is None:
        return None
    return _spread(pool, NEIGHBOURS), kind


def _spread(images: ImageSet, most: int) -> ImageSet:
    """Return images from all of a set, which may be sorted by class."""
    if len(images) <= most:
        return images
    return images.select(np.arange(0, len(images), len(images) // most)[:most])


def _neighbours_key(name: str, pool: Pool) -> tuple[object, ...]:
    return "neighbours", version_of(name), pool[1], len(pool[0])


def known_neighbours(name: str, pool: Pool) -> list[FloatArray] | None:
    """Return the features at each exit of a model's `neighbour_pool`, if they were read."""
    found: list[FloatArray] | None = RESULTS.find(_neighbours_key(name, pool))
    return found


def reading_neighbours(name: str, pool: Pool) -> "Job[list[FloatArray]]":
    """Begin to read the features of a model's `neighbour_pool`; all visitors then know them."""
    from core.analysis.neighbours import exit_features
    from core.foundation.jobs import Job

    (images, kind), runner = pool, model(name)
    key = _neighbours_key(name, pool)

    def work(on_progress: "OnProgress") -> list[FloatArray]:
        parts = []
        for start in range(0, len(images), PART):
            on_progress(start / len(images), f"Running the network on the {kind} …")
            with taking_turns().in_background():
                batch = runner.normalised(images.images[start : start + PART])
                parts.append(exit_features(runner.network, batch))
        found = [np.concatenate(of_exit) for of_exit in zip(*parts, strict=True)]
        RESULTS.keep(key, found)
        return found

    return Job(work, "The images could not be run; the reason is in the log.")


@of_model()
def features_at_exits(name: str, pixels: NDArray[np.uint8]) -> list[FloatArray]:
    """Return what each exit's head reads of an image (H, W, C): (1, channels) of every exit."""
    from core.analysis.neighbours import exit_features

    runner = model(name)
    with taking_turns()():
        return exit_features(runner.network, runner.normalised(pixels[None]))


@of_model()
def feature_maps(name: str, pixels: NDArray[np.uint8], most: int) -> list[NDArray[np.float32]]:
    """Return the channels that every stage of a model makes of an image (H, W, C).

    Args:
        name: of the model.
        pixels: as the network reads them.
        most: channels of a stage, see `core.analysis.feature_maps`.
    """
    from core.analysis.feature_maps import feature_maps as maps_of

    runner = model(name)
    with taking_turns()():
        return maps_of(runner.network, runner.normalised(pixels[None]), most)


def saliency_maps(
    name: str, pixels: NDArray[np.uint8], targets: Sequence[int], method: str
) -> SaliencyMaps:
    """Return what a session's visitor looks at: at every exit, how much each pixel spoke.

    Args:
        name: of the model.
        pixels: (H, W, C).
        targets: (E,) the class that the map of each exit speaks for.
        method: of saliency.
    """
    here = found(name)
    classes = tuple(targets)
    compute = partial(_saliency_map, here.folder, here.version, pixels, classes, method)
    key = (here.version, pixels.tobytes(), classes, method)
    return latest("saliency-maps", key, lambda: SaliencyMaps(compute, len(classes)))


@_shared()
def _saliency_map(
    folder: Path,
    version: str,
    pixels: NDArray[np.uint8],
    targets: tuple[int, ...],
    method: str,
    exit_index: int,
) -> NDArray[np.float32]:
    """Return how much each pixel spoke for the target at an exit: (H, W), at least 0."""
    from core.analysis.saliency import SALIENCY

    network, target = _loaded(folder, version), targets[exit_index]
    with taking_turns().in_background():
        image = network.normalised(pixels[None])
        return SALIENCY[method].function(network.network, image, exit_index, target)


@cache
def _wall_times() -> WallTimes:
    return WallTimes(taking_turns())


def wall_time(
    name: str, pixels: NDArray[np.uint8], policy: Policy, exit_index: int
) -> "Job[WallTime]":
    """Return the job that measures a single image: with early exits, and without.

    It is measured once for all images that leave at an exit: the thresholds do not matter then.

    Args:
        name: of the model.
        pixels: (H, W, C) of such an image.
        policy: under which it leaves there.
        exit_index: the exit.
    """
    here = found(name)
    key = (here.version, policy.criterion, policy.enabled, exit_index)
    return _wall_times().of(key, partial(_loaded, here.folder, here.version), pixels, policy)


def runtimes() -> "list[tuple[Runtime, str]]":
    """Return every runtime that is installed here, with each of its precisions."""
    from core.deploy.runtimes import installed

    return installed()


def timed(
    entries: Sequence[tuple[str, Policy]],
    images: NDArray[np.uint8],
    batch_sizes: Sequence[int],
    chosen: "Sequence[tuple[Runtime, str]]",
) -> "dict[int, list[tuple[Latency, ...]]]":
    """Return the wall time of models with their policies, measured now, in turns.

    Returns:
        By batch size and for each runtime, the time of every model.

    Raises:
        UserError: a model that cannot be exported for a runtime other than torch.
    """
    from core.deploy.benchmark import time_in_runtimes

    running = [(model(name), policy) for name, policy in entries]
    with taking_turns()():
        return time_in_runtimes(running, images, batch_sizes, chosen, threads())


@_shared("Looking for places to cut the network …")
def cut_points(backbone: str, num_classes: int, image_size: int) -> "tuple[CutPoint, ...]":
    """Return the places of a network where early exits may stand.

    Raises:
        UserError: it cannot be made so, or cannot be cut.
    """
    from core.hub.own_network import OwnNetwork

    return OwnNetwork(backbone, num_classes, image_size).cut_points()


@of_model()
def stages_of(name: str) -> "tuple[StageOutline, ...]":
    """Return the blocks and shapes of a model's stages."""
    from core.networks.build import build_hollow
    from core.networks.outline import outline

    try:
        return outline(model(name).network)
    except UserError:  # damaged weights; to make the network anew takes longer
        return outline(build_hollow(card_of(name).spec))


@of_model("Training every part for a few batches …")
def training_times(name: str, renewed: int) -> "TrainingTimes":
    """Return how long every part of a model takes to learn from a batch, measured on this machine.

    Args:
        name: of the model.
        renewed: how often it was to be measured anew.
    """
    import torch

    from core.edge_cloud.measure import time_training, usual_batch

    torch.set_num_threads(threads())
    spec = card_of(name).spec
    with taking_turns()():
        return time_training(spec, usual_batch(spec.image_size))


@of_model("Exporting the network …")
def bundle(name: str, policy: Policy) -> bytes:
    """Return a model with a policy as a bundle that runs without torch, as a ZIP archive.

    Raises:
        UserError: it cannot be exported, or what exports it is not installed.
    """
    from core.deploy.export import export_zip

    runner, images = model(name), _some_images(name)
    with taking_turns()():
        return export_zip(runner, policy, name, images)


def stage_times(name: str) -> "list[StageTimes]":
    """Return how long every stage takes for one image here and now, by runtime; not cached."""
    from core.deploy.benchmark import time_stages
    from core.deploy.runtimes import installed

    runner, images = model(name), _some_images(name)
    chosen = installed(single_stages=True)
    with taking_turns()():
        return time_stages(runner, images, 1, chosen, threads())


def _some_images(name: str) -> NDArray[np.uint8]:
    """Return images that ship for a model's data set, or a blank one."""
    card = card_of(name)
    shipped = samples(card)
    size = card.spec.image_size
    blank = np.zeros((1, size, size, card.spec.in_channels), np.uint8)
    return blank if shipped is None else shipped.images


def part_times(name: str, batch_sizes: Sequence[int]) -> "tuple[PartTimes, ...]":
    """Return how long every part of a model takes here and now; not cached."""
    from core.deploy.benchmark import time_parts

    runner, images = model(name), _some_images(name)
    with taking_turns()():
        return tuple(time_parts(runner, images, batch_size) for batch_size in batch_sizes)


@of_model("Timing every part for one image …")
def inference_times(name: str, renewed: int) -> "PartTimes":
    """Return how long every part of a model takes for one image, measured on this machine.

    Args:
        name: of the model.
        renewed: how often it was to be measured anew.
    """
    (times,) = part_times(name, (1,))
    return times
