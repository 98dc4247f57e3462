"""The real run, which skips, against the table, which does not."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.exits.cost_controller import HeldCost, route_stream
from core.exits.criteria import CRITERIA
from core.exits.inference import Engine, run_all_exits, run_with_skipping
from core.exits.policy import Policy
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.hub.model import LARGE, load
from core.hub.registry import shipped_models
from core.networks.cost import count
from core.networks.network import ExitNetwork
from core.networks.normalisation import Normalisation
from tests.core.networks.small import images_for, network, noise

BATCH_SIZES = (1, 7, 256)
CPU = torch.device("cpu")


def normalisation(channels: int) -> Normalisation:
    return Normalisation((0.5,) * channels, (0.25,) * channels)


def table_of(made: ExitNetwork, images: NDArray[np.uint8], batch_size: int = 64) -> ExitTable:
    channels, size = images.shape[3], images.shape[1]
    batches = normalisation(channels).batches(images, batch_size)
    probabilities, confidence = run_all_exits(made, batches)
    cost = count(made, channels, size)
    return ExitTable(
        probabilities=probabilities,
        confidence=confidence,
        labels=np.full(len(images), -1),
        ids=np.arange(len(images)),
        costs=cost.costs,
        classes=tuple("0123456789"),
    )


def between_scores(scores: NDArray[np.float32], share: float) -> float:
    """A threshold that about ``share`` of the scores exceed and none is near."""
    ordered = np.unique(scores.astype(np.float64))
    gaps = np.diff(ordered)
    wide = np.flatnonzero(gaps > 1e-5)
    if not len(wide):
        return 0.5
    place = wide[np.abs(wide - (1 - share) * len(ordered)).argmin()]
    return float((ordered[place] + ordered[place + 1]) / 2)


def mixed_policy(table: ExitTable, criterion: str, **options: object) -> Policy:
    """A policy under which some samples leave at every early exit."""
    scores = Policy(criterion, [0.5] * (table.num_exits - 1), **options).scores(table)  # type: ignore[arg-type]
    thresholds = [between_scores(column, 0.4) for column in scores.T]
    return Policy(criterion, thresholds, **options)  # type: ignore[arg-type]


def assert_equal_to_table(
    made: ExitNetwork, images: NDArray[np.uint8], policy: Policy, batch_size: int
) -> NDArray[np.int64]:
    table = table_of(made, images)
    expected = route(table, policy)
    channels = images.shape[3]
    got = run_with_skipping(
        made,
        normalisation(channels).batches(images, batch_size),
        policy,
        table.costs,
    )
    np.testing.assert_array_equal(got.exits, expected.exits)
    np.testing.assert_array_equal(got.labels, expected.answers)
    np.testing.assert_allclose(got.costs, expected.costs, rtol=1e-12)
    return got.exits


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_real_run_equals_the_table(criterion: str, batch_size: int) -> None:
    made = network(exits=("stem", "block1", "block2"))
    images = noise(300)
    policy = mixed_policy(table_of(made, images), criterion)
    exits = assert_equal_to_table(made, images, policy, batch_size)
    used = {0, 1, 2, 3}  # every exit is really used
    if criterion == "patience":
        used = {2, 3}  # these policies ask for two in a row, and more at the last
    elif criterion == "gate":
        used = {0, 1, 2}  # gates that are half open leave nothing to the end
    assert set(exits) == used


@pytest.mark.parametrize("enabled", [(True, False, True), (False, True, True), (True, True, False)])
@pytest.mark.parametrize("criterion", [name for name, one in CRITERIA.items() if one.history])
def test_a_criterion_with_a_history_never_sees_an_exit_that_is_off(
    criterion: str, enabled: tuple[bool, ...]
) -> None:
    made = network(exits=("stem", "block1", "block2"))
    images = noise(200)
    policy = mixed_policy(table_of(made, images), criterion, enabled=enabled)
    assert_equal_to_table(made, images, policy, 64)


def test_the_final_exit_answers_no_class_that_was_ruled_out() -> None:
    made = network(exits=("stem", "block1", "block2"))
    images = noise(300)
    table = table_of(made, images)
    scores = Policy("exclusion", (0.5,) * 3).scores(table)
    policy = Policy("exclusion", [between_scores(column, 0.1) for column in scores.T])
    decision = route(table, policy)
    end = decision.exits == 3
    assert (decision.answers[end] != table.answers[end, 3]).any()
    assert_equal_to_table(made, images, policy, 64)


@pytest.mark.parametrize(
    ("backbone", "exits"),
    [
        ("resnet20", ("stage1_2", "stage2_2")),
        ("vgg11half", ("stage2_1", "stage4_2")),
    ],
)
def test_real_run_equals_the_table_on_every_family(backbone: str, exits: tuple[str, ...]) -> None:
    made = network(backbone=backbone, exits=exits, in_channels=3, image_size=32)
    images = noise(40, 32, 3)
    policy = mixed_policy(table_of(made, images), "max_probability")
    assert_equal_to_table(made, images, policy, 16)


@pytest.mark.parametrize("enabled", [(False, True), (True, False), (False, False)])
def test_a_disabled_exit_is_passed_and_its_head_costs_nothing(enabled: tuple[bool, ...]) -> None:
    made = network(head="plain")
    images = noise(100)
    policy = mixed_policy(table_of(made, images), "margin", enabled=enabled)
    exits = assert_equal_to_table(made, images, policy, 32)
    assert all(enabled[exit_] for exit_ in set(exits) - {2})


def test_temperatures_act_in_the_real_run_as_on_the_table() -> None:
    made = network()
    images = noise(200)
    policy = mixed_policy(table_of(made, images), "max_probability", temperatures=(2.0, 0.5, 1.0))
    assert_equal_to_table(made, images, policy, 32)


@pytest.mark.parametrize("batch_size", [7, 64])
@pytest.mark.parametrize("criterion", ["confidence", "patience", "exclusion"])
def test_a_held_cost_is_the_same_in_the_real_run_and_on_the_table(
    criterion: str, batch_size: int
) -> None:
    made = network(exits=("stem", "block1", "block2"))
    images = noise(400)
    table = table_of(made, images)
    held = HeldCost.of(table.select(np.arange(150)), mixed_policy(table, criterion), half_life=30)
    stream = table.select(np.arange(150, 400))
    controller = held.start()
    expected = route_stream(stream, controller, batch_size)
    assert len(np.unique(expected.thresholds, axis=0)) > 1
    running = held.start()
    batches = normalisation(1).batches(images[150:], batch_size)
    got = run_with_skipping(made, batches, running, table.costs)
    np.testing.assert_array_equal(got.exits, expected.exits)
    np.testing.assert_array_equal(got.labels, expected.answers)
    np.testing.assert_allclose(got.costs, expected.costs, rtol=1e-12)
    np.testing.assert_allclose(running.policy.thresholds, controller.policy.thresholds, atol=1e-5)


def test_stages_behind_the_last_exit_taken_are_not_run() -> None:
    made = network()
    ran: list[tuple[int, int]] = []
    stage = made.stage
    made.stage = lambda i, x: ran.append((i, len(x))) or stage(i, x)  # type: ignore[method-assign,func-returns-value]
    table = table_of(network(), noise(64))
    images = normalisation(1).batches(noise(64), 64)
    everyone = Policy("max_probability", (0.0, 0.0))
    run_with_skipping(made, images, everyone, table.costs)
    assert ran == [(0, 64)]


def test_rows_shrink_when_samples_leave() -> None:
    made = network()
    images = noise(64)
    table = table_of(made, images)
    policy = mixed_policy(table, "margin")
    left_first = int((route(table, policy).exits == 0).sum())
    ran: list[int] = []
    stage = made.stage
    made.stage = lambda i, x: ran.append(len(x)) or stage(i, x)  # type: ignore[method-assign,func-returns-value]
    batches = normalisation(1).batches(images, 64)
    run_with_skipping(made, batches, policy, table.costs)
    assert ran[:2] == [64, 64 - left_first]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_chunks_answer_as_a_whole_batch_and_are_joined_as_they_shrink(
    layout: torch.memory_format,
) -> None:
    made = network(exits=("stem", "block1", "block2")).to(memory_format=layout)
    images = noise(100)
    table = table_of(made, images)
    policy = mixed_policy(table, "margin")
    expected = route(table, policy)
    ran: dict[int, list[int]] = {}
    stage = made.stage
    made.stage = lambda i, x: ran.setdefault(i, []).append(len(x)) or stage(i, x)  # type: ignore[method-assign,func-returns-value]
    batches = normalisation(1).batches(images, 100)
    got = run_with_skipping(made, batches, policy, table.costs, engine=Engine(chunk=16))
    np.testing.assert_array_equal(got.exits, expected.exits)
    np.testing.assert_array_equal(got.labels, expected.answers)
    for index in range(4):
        assert sum(ran[index]) == (expected.exits >= index).sum()
        assert max(ran[index]) <= 16
    assert len(ran[3]) < len(ran[0])


def test_an_exit_that_nobody_can_leave_at_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = network()
    costs = table_of(made, noise(8)).costs
    waited: list[int] = []
    nonzero = torch.Tensor.nonzero
    monkeypatch.setattr(
        torch.Tensor, "nonzero", lambda mask: waited.append(len(mask)) or nonzero(mask)
    )
    for thresholds, times in (((1.0, 1.0), 0), ((1.0, 0.999), 1), ((0.999, 0.999), 2)):
        waited.clear()
        batches = normalisation(1).batches(noise(8), 8)
        run_with_skipping(made, batches, Policy("margin", thresholds), costs)
        assert len(waited) == times


def test_a_policy_of_another_number_of_exits_is_refused() -> None:
    made = network()
    table = table_of(made, noise(2))
    with pytest.raises(UserError, match="expected 2 thresholds"):
        run_with_skipping(made, [], Policy("margin", (0.5,)), table.costs)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_skip_as_their_tables_say(name: str, batch_size: int) -> None:
    model = load(name)
    images = images_for(model.card)[: 300 if model.card.spec.image_size < LARGE else 60]
    table = model.table(images)
    for criterion in CRITERIA:
        if table.num_exits == 1 or (
            CRITERIA[criterion].needs_confidence and table.confidence is None
        ):
            continue
        policy = mixed_policy(table, criterion)
        expected = route(table, policy)
        got = model.predict(images, policy, batch_size)
        np.testing.assert_array_equal(got.exits, expected.exits)
        np.testing.assert_array_equal(got.labels, expected.answers)
        np.testing.assert_allclose(got.costs, expected.costs, rtol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_gives_the_answers_of_the_cpu() -> None:
    made, images = network(), noise(300)
    policy = mixed_policy(table_of(made, images), "max_probability")
    cpu = route(table_of(made, images), policy)
    cost = count(made, 1, 28)
    cuda = torch.device("cuda")
    batches = normalisation(1).to(cuda).batches(images, 64)
    got = run_with_skipping(made.to(cuda), batches, policy, cost.costs)
    assert (got.labels == cpu.answers).mean() > 0.99
