import csv
import io
import math

import numpy as np
import pytest
from scipy.stats import fisher_exact

from core.analysis.samples import Selection
from core.analysis.slices import by_class, fisher_test, holm, permutation_test, slices, to_csv
from core.exits.policy import Policy
from core.exits.routing import Routing, route
from core.exits.table import ExitTable
from core.foundation.costs import Costs
from tests.core.exits.tables import changed, random_table

COSTS = Costs([0.5, 0.5], [0.0, 0.0])
ALL = Selection()


def answered(labels: list[int], early: list[int], answers: list[int]) -> Routing:
    """Samples with labels, whether they leave early, and what both exits answer."""
    leaves = np.asarray(early, np.bool_)
    sure = np.where(leaves, 0.9, 0.6).astype(np.float32)
    of_answer = np.eye(2, dtype=np.float32)[answers]
    probabilities = of_answer * sure[:, None] + (1 - of_answer) * (1 - sure[:, None])
    table = ExitTable(
        probabilities=np.repeat(probabilities[:, None], 2, axis=1),
        confidence=None,
        labels=np.asarray(labels),
        ids=np.arange(len(labels)),
        costs=COSTS,
        classes=("cat", "dog"),
    )
    return route(table, Policy("max_probability", [0.8]))


def few() -> Routing:
    """Four cats, of which one is right and one leaves early; four dogs, right and early."""
    return answered([0] * 4 + [1] * 4, [1, 0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1, 1])


def test_a_slice_has_its_figures_and_their_differences_to_the_rest() -> None:
    routing = few()
    cat, dog = slices(routing, {"dog": Selection(label=1), "cat": Selection(label=0)})
    assert (cat.name, cat.count, cat.accuracy.value, cat.relative_cost.value) == (
        *("cat", 4, 0.25),
        pytest.approx(0.875),
    )
    assert cat.accuracy.difference == -0.75 == -dog.accuracy.difference
    assert cat.relative_cost.difference == pytest.approx(0.375)
    assert cat.exits == (0.25, 0.75)
    assert cat.exit_differences == (-0.75, 0.75)
    # of the 70 draws of four, five have one right answer and five have four; so with early exits
    assert fisher_test(1, 4, 5, 8) == pytest.approx(10 / 70)
    assert cat.accuracy.p_value == pytest.approx(4 * 10 / 70, abs=0.06)  # four tests
    assert not cat.accuracy.certain


def test_the_worst_accuracy_comes_first_then_the_highest_cost_and_the_unknown_last() -> None:
    routing = few()
    selections = {
        "none": Selection(label=0, low=0.99),
        "right": Selection(right=True),
        "all": ALL,
        "right late": Selection(right=True, exit_index=1),
        "dogs": Selection(label=1),
        "cats": Selection(label=0),
    }
    names = [one.name for one in slices(routing, selections)]
    assert names[:2] == ["cats", "all"]
    assert set(names[2:4]) == {"right", "dogs"}  # all right and early
    assert names[4:] == ["none", "right late"]  # empty


def test_an_empty_slice_and_one_of_all_have_nothing_to_be_tested_against() -> None:
    routing = few()
    every, none = slices(routing, {"none": Selection(label=0, low=0.99), "all": ALL})
    assert (none.count, every.count) == (0, 8)
    assert math.isnan(none.accuracy.value)
    assert all(map(math.isnan, none.exits))
    assert every.accuracy.value == 5 / 8
    assert sum(every.exits) == 1
    for one in (none, every):
        for against in (one.accuracy, one.relative_cost):
            assert math.isnan(against.difference)
            assert math.isnan(against.p_value)
            assert not against.certain


def test_what_the_filters_themselves_fix_is_not_tested() -> None:
    routing = few()
    wrong, early = slices(
        routing, {"wrong": Selection(right=False), "early": Selection(exit_index=0)}
    )
    assert (wrong.accuracy.chosen, wrong.relative_cost.chosen) == (True, False)
    assert (early.accuracy.chosen, early.relative_cost.chosen) == (False, True)
    assert math.isnan(wrong.accuracy.p_value)
    assert math.isnan(early.relative_cost.p_value)
    assert wrong.accuracy.difference == -1
    assert not wrong.accuracy.certain
    # two tests are left, so the smaller p-value counts twice
    assert min(wrong.relative_cost.p_value, early.accuracy.p_value) == pytest.approx(
        2
        * min(
            fisher_test(5, 5, 5, 8),
            permutation_test(routing.costs, np.flatnonzero(~routing.right).astype(np.int64)),
        )
    )


def test_samples_without_a_label_count_for_cost_alone() -> None:
    routing = few()
    table = changed(routing.table, labels=[-1, -1, -1, -1, 1, 1, 1, 1])
    (leaves,) = slices(route(table, routing.policy), {"early": Selection(exit_index=0)})
    assert (leaves.count, leaves.accuracy.value) == (5, 1)
    unlabelled = route(changed(routing.table, labels=[-1] * 8), routing.policy)
    assert by_class(unlabelled) == {"cat": Selection(answer=0), "dog": Selection(answer=1)}
    first, second = slices(unlabelled, by_class(unlabelled))
    assert math.isnan(first.accuracy.value)
    assert first.relative_cost.value > second.relative_cost.value


def test_a_slice_for_each_class_holds_every_sample_once() -> None:
    routing = route(random_table(200), Policy("max_probability", [0.7, 0.7, 0.7]))
    found = slices(routing, by_class(routing))
    assert sum(one.count for one in found) == 200
    assert {one.name for one in found} == set(routing.table.classes)


@pytest.mark.parametrize(
    "counts", [(1, 4, 5, 8), (3, 10, 60, 90), (0, 7, 20, 50), (40, 60, 300, 999)]
)
def test_fishers_test_is_scipys(counts: tuple[int, int, int, int]) -> None:
    right, samples, all_right, total = counts
    rest = [all_right - right, total - samples - all_right + right]
    expected = fisher_exact([[right, samples - right], rest]).pvalue
    assert fisher_test(*counts) == pytest.approx(expected)


def test_a_permutation_test_is_exact_for_few_samples_too() -> None:
    values = np.array([1.0] * 5 + [0.0] * 95)
    assert permutation_test(values, np.array([0])) == pytest.approx(0.05, abs=0.01)
    both = 5 * 4 / (100 * 99)
    assert permutation_test(values, np.array([0, 1])) == pytest.approx(both, abs=0.002)
    assert permutation_test(values, np.array([7])) == 1
    assert math.isnan(permutation_test(np.ones(9), np.array([1])))


def test_slices_drawn_at_random_are_marked_as_rarely_as_promised() -> None:
    random = np.random.default_rng(2)
    marked = 0
    for _ in range(100):
        costs = random.choice([0.2, 0.5, 1.0], 200)
        p_values = [
            permutation_test(costs, random.permutation(200)[: 5 + 20 * part], draws=500)
            for part in range(4)
        ]
        marked += min(holm(p_values)) < 0.05
    assert marked <= 11  # of 100, 5 are expected


def test_holms_correction() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([]) == []
    corrected = holm([math.nan, 0.02, 0.01])
    assert math.isnan(corrected[0])
    assert corrected[1:] == pytest.approx([0.02, 0.02])


def test_slices_as_csv() -> None:
    routing = few()
    found = slices(routing, {"=1+1, a": Selection(label=0), "none": Selection(label=0, low=0.99)})
    first, none = csv.DictReader(io.StringIO(to_csv(found, 2)))
    assert first["slice"] == "'=1+1, a"
    assert first["images"] == "4"
    assert (first["accuracy"], first["accuracy_difference"]) == ("0.25", "-0.75")
    assert float(first["accuracy_p"]) == pytest.approx(found[0].accuracy.p_value, rel=1e-5)
    assert (first["relative_cost"], first["relative_cost_difference"]) == ("0.875", "0.375")
    assert (first["exit_2_share"], first["exit_2_share_difference"]) == ("0.75", "0.75")
    assert none["images"] == "0"
    assert none["accuracy"] == none["exit_1_share"] == ""
