import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.samples import (
    FIELDS,
    FLIPS,
    ORDERS,
    Selection,
    belongs,
    exit_groups,
    extremes,
    likeliest,
    page_of,
    score_bars,
    select,
    to_csv,
    within_steps,
)
from core.data.prepared import ImageSet
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import Routing, route
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.foundation.files import no_formula
from tests.core.exits.tables import changed, random_table
from tests.core.exits.test_routing import tables_with_policies


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    low, high = sorted((draw(st.floats(0, 1, width=32)), draw(st.floats(0, 1, width=32))))
    answer, agrees = draw(st.none() | st.integers(0, 5)), draw(st.none() | st.booleans())
    return Selection(
        draw(st.none() | st.integers(0, 4)),
        draw(st.none() | st.integers(0, 5)),
        draw(st.none() | st.booleans()),
        draw(st.none() | st.sampled_from(FLIPS)),
        answer,
        agrees,
        low,
        high,
        draw(st.sampled_from(ORDERS)),
    )


def matches(samples: Routing, position: int, selection: Selection) -> bool:
    score = float(samples.scores[position])
    return (
        selection.exit_index in (None, samples.exits[position])
        and selection.label in (None, samples.table.labels[position])
        and selection.right in (None, samples.right[position])
        and selection.flip in (None, samples.flip(position))
        and selection.answer in (None, samples.answers[position])
        and selection.agrees
        in (None, samples.answers[position] == samples.table.answers[position, -1])
        and (selection.low == 0 or selection.low <= score)
        and (selection.high == 1 or score <= selection.high)
    )


@given(tables_with_policies(), selections())
def test_those_that_match_are_selected_and_no_others(
    case: tuple[ExitTable, Policy], selection: Selection
) -> None:
    samples = route(*case)
    found = select(samples, selection)
    assert sorted(found) == [n for n in range(len(samples)) if matches(samples, n, selection)]


@given(tables_with_policies(), selections())
def test_they_come_in_the_order_chosen_and_ties_as_in_the_data(
    case: tuple[ExitTable, Policy], selection: Selection
) -> None:
    samples = route(*case)
    found = select(samples, selection).tolist()
    sign = {"data": 0, "least_sure": 1, "most_sure": -1}[selection.order]
    assert found == sorted(found, key=lambda n: (sign * samples.scores[n], n))


@given(tables_with_policies())
def test_groups_agree_with_the_report(case: tuple[ExitTable, Policy]) -> None:
    groups, report = exit_groups(route(*case)), evaluate(*case)
    assert [group.share for group in groups] == list(report.exit_share)
    np.testing.assert_equal([group.accuracy for group in groups], list(report.accuracy_of_left))
    assert sum(group.count for group in groups) == report.samples


def test_samples_without_a_label_are_neither_right_nor_wrong() -> None:
    table = changed(random_table(20), labels=np.full(20, -1))
    samples = route(table, Policy("margin", [0.5] * 3))
    for right in (True, False):
        assert len(select(samples, Selection(right=right))) == 0
    agreeing, differing = (select(samples, Selection(agrees=agrees)) for agrees in (True, False))
    assert sorted([*agreeing, *differing]) == list(range(20))
    assert np.isnan(samples.accuracy())
    assert np.isnan([one.accuracy for one in exit_groups(samples)]).all()


@given(tables_with_policies(), st.integers(0, 6))
def test_extremes_are_the_ends_of_the_order_and_never_overlap(
    case: tuple[ExitTable, Policy], most: int
) -> None:
    samples = route(*case)
    for exit_index in range(samples.table.num_exits):
        surest, least = extremes(samples, exit_index, most)
        here = samples.exits == exit_index
        assert len(surest) <= most
        assert len(least) <= most
        assert len(surest) + len(least) == min(here.sum(), 2 * most)
        assert not set(surest) & set(least)
        assert here[surest].all()
        assert here[least].all()
        scores = samples.scores
        if len(surest):
            assert scores[surest[0]] == scores[here].max()
            assert (np.diff(scores[surest]) <= 0).all()
        if len(least):
            assert scores[least[0]] == scores[here].min()
            assert (np.diff(scores[least]) >= 0).all()


@given(tables_with_policies())
def test_agreement_is_with_the_last_exit(case: tuple[ExitTable, Policy]) -> None:
    samples = route(*case)
    every = np.arange(len(samples))
    together = [one.count * one.agreement for one in exit_groups(samples) if one.count]
    assert sum(together) == pytest.approx(len(samples) * samples.agreement(every))
    assert np.isnan(samples.agreement(every[:0]))
    changed_by_leaving = len(select(samples, Selection(agrees=False)))
    assert samples.rescued.sum() + samples.ruined.sum() <= changed_by_leaving


@given(tables_with_policies(), st.integers(0, 100), st.integers(0, 100))
def test_counts_within_steps_are_what_is_selected(
    case: tuple[ExitTable, Policy], one: int, other: int
) -> None:
    samples = route(*case)
    low, high = sorted((one, other))
    below, at_most = within_steps(samples.scores)
    found = select(samples, Selection(low=low / 100, high=high / 100))
    assert at_most[high] - below[low] == len(found)


@pytest.mark.parametrize("labels", ["all", "some", "none"])
def test_bars_are_of_right_and_wrong_where_all_labels_are_known(labels: str) -> None:
    table = random_table(200)
    known = {"all": 200, "some": 100, "none": 0}[labels]
    table = changed(table, labels=np.where(np.arange(200) < known, table.labels, -1))
    samples = route(table, Policy("margin", [0.5] * 3))
    up, down, by_label = score_bars(samples, np.arange(150), 10)
    assert by_label == (labels == "all")
    assert up.sum() + down.sum() == 150
    assert up.sum() == (samples.right if by_label else samples.agrees)[:150].sum()


@given(st.integers(0, 50), st.integers(-3, 60), st.integers(1, 12))
def test_pages_hold_everything_once(count: int, number: int, size: int) -> None:
    positions = np.arange(count)
    _, shown, pages = page_of(positions, number, size)
    assert 0 <= shown < pages
    together = [page_of(positions, one, size)[0] for one in range(pages)]
    assert np.array_equal(np.concatenate(together), positions)
    assert all(len(one) == size for one in together[:-1])


def test_the_likeliest_classes_survive_truncation() -> None:
    table = random_table(10, 2, 9)
    for position in range(10):
        whole = likeliest(table, position, 1, 3)
        assert whole == likeliest(table.truncated(4), position, 1, 3)
        assert whole[0][0] == table.answers[position, 1]


def test_csv_has_a_line_for_each_sample_that_can_be_read_back() -> None:
    table = replace(random_table(60, 3), classes=('a "quoted", one', "b", "c", "d", "=e"))
    samples = route(table, Policy("confidence", [0.6, 0.5]))
    positions = select(samples, Selection(order="least_sure"))
    lines = list(csv.DictReader(io.StringIO(to_csv(samples, positions))))
    assert tuple(lines[0]) == FIELDS
    assert [int(line["id"]) for line in lines] == table.ids[positions].tolist()
    for line, position in zip(lines, positions, strict=True):
        assert line["label"] == no_formula(table.classes[table.labels[position]])
        assert line["answer"] == no_formula(table.classes[samples.answers[position]])
        assert int(line["exit"]) == samples.exits[position] + 1
        assert float(line["score"]) == pytest.approx(samples.scores[position], rel=1e-5)
        assert float(line["cost"]) == pytest.approx(samples.costs[position], rel=1e-5)
        assert line["right"] == str(int(samples.right[position]))
        assert line["flip"] == (samples.flip(position) or "")


def test_csv_of_files_has_their_names() -> None:
    table = random_table(3, 2)
    names = ["a.png", 'b "2".png', "c, d.png"]
    content = to_csv(route(table, Policy("margin", [0.5])), np.array([2, 1]), names)
    lines = list(csv.DictReader(io.StringIO(content)))
    assert [line["file"] for line in lines] == ["c, d.png", 'b "2".png']
    assert tuple(lines[0])[:-1] == FIELDS


def test_csv_leaves_empty_what_is_unknown() -> None:
    table = changed(random_table(1, 2), labels=[-1])
    line = to_csv(route(table, Policy("margin", [0.5])), np.array([0])).splitlines()[1].split(",")
    assert line[1] == line[6] == line[7] == ""


@pytest.mark.parametrize(
    "wrong", [{"flip": "turned"}, {"order": "random"}, {"low": 0.7, "high": 0.2}, {"high": 1.5}]
)
def test_a_selection_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        Selection(**wrong)  # type: ignore[arg-type]


def test_a_selection_knows_whether_it_leaves_anything_out() -> None:
    assert Selection().selects_all
    assert Selection(order="most_sure").selects_all
    assert not Selection(exit_index=0).selects_all
    assert not Selection(low=0.1).selects_all


def images_of(table: ExitTable) -> ImageSet:
    pixels = np.random.default_rng(1).integers(0, 256, (len(table), 4, 4, 1), np.uint8)
    return ImageSet.counted("some", "test", pixels, table.labels, table.classes)


def test_images_belong_to_a_table_when_labels_agree() -> None:
    table = random_table(40)
    images = images_of(table)
    assert belongs(table, images, by_ids=True)
    assert belongs(table, images, by_ids=False)
    part = table.select([7, 3, 30])
    assert belongs(part, images, by_ids=True)
    assert not belongs(part, images, by_ids=False)
    shifted = replace(images, labels=(images.labels + 1) % 5)
    assert not belongs(table, shifted, by_ids=True)
    assert not belongs(table, images.select(range(39)), by_ids=True)
    assert not belongs(replace(table, classes=tuple("vwxyz")), images, by_ids=True)
