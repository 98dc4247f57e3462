import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy, read_thresholds, write_thresholds
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from tests.core.exits.tables import random_table, tables

unit = st.floats(0, 1)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    early = draw(st.integers(0, 5))
    return Policy(
        draw(st.sampled_from(list(CRITERIA))),
        draw(st.lists(unit, min_size=early, max_size=early)),
        draw(st.none() | st.lists(st.booleans(), min_size=early, max_size=early)),
        draw(st.none() | st.lists(st.floats(0.1, 10), min_size=early + 1, max_size=early + 1)),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(policies())
def test_a_policy_survives_json(tmp_path: Path, policy: Policy) -> None:
    policy.save(tmp_path / "policy.json")
    assert Policy.load(tmp_path / "policy.json") == policy
    assert hash(Policy.from_dict(policy.to_dict())) == hash(policy)


def test_any_sequence_of_numbers_is_taken() -> None:
    policy = Policy("entropy", np.array([0.5, 1], np.float32), np.array([True, False]))
    assert policy == Policy("entropy", [0.5, 1], (True, False))
    assert [type(value) for value in policy.thresholds] == [float, float]
    assert Policy("entropy", (0.5,)).enabled == (True,)
    assert dataclasses.replace(policy, criterion="margin").thresholds == policy.thresholds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("entropie", [0.5]), "Did you mean 'entropy'"),
        ((3, [0.5]), "`criterion`"),
        (("entropy", [1.5]), r"`thresholds` to lie in \[0, 1\], but got 1.5"),
        (("entropy", [-0.1]), r"`thresholds` to lie in \[0, 1\]"),
        (("entropy", [float("inf")]), r"`thresholds` to lie in \[0, 1\]"),
        (("entropy", [10**400]), r"`thresholds` to lie in \[0, 1\]"),
        (("entropy", [float("nan")]), "`thresholds` to be numbers, but got nan"),
        (("entropy", ["0.5"]), "`thresholds` to be numbers"),
        (("entropy", [True]), "`thresholds` to be numbers"),
        (("entropy", [None]), "`thresholds` to be numbers"),
        (("entropy", 0.5), "`thresholds` to be a list"),
        (("entropy", "0.5"), "`thresholds` to be a list"),
        (("entropy", [0.5], [True, False]), "`enabled` to have 1 flags"),
        (("entropy", [0.5], [1]), "`enabled` to be true or false"),
        (("entropy", [0.5], None, [1.0]), "2 `temperatures`"),
        (("entropy", [0.5], None, [1.0, 0.0]), "`temperatures` to be above 0"),
        (("entropy", [0.5], None, [1.0, float("inf")]), "`temperatures` to be above 0"),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Policy(*arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[1, 2]", "to be an object"),
        ("null", "to be an object"),
        ('{"criterion": "entropy"}', "the field `thresholds`"),
        ('{"thresholds": [0.5]}', "the field `criterion`"),
        (
            '{"criterion": "entropy", "thresholds": [0.5], "enable": [true]}',
            "Did you mean 'enabled'",
        ),
        ('{"criterion": ["entropy"], "thresholds": [0.5]}', "`criterion`"),
        ('{"criterion": "entropy", "thresholds": {"0": 0.5}}', "`thresholds`"),
        ('{"criterion": "entropy", "thresholds": [NaN]}', "NaN is no number"),
        ('{"criterion": "entropy", "thresholds": [0.5], "enabled": "yes"}', "`enabled`"),
        ('{"criterion": "entropy", "thresholds": [0.5], "temperatures": 2}', "`temperatures`"),
    ],
)
def test_a_damaged_or_foreign_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        Policy.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json"):
        Policy.load(tmp_path / "nowhere.json")


def test_the_count_of_thresholds_is_checked_against_the_network() -> None:
    Policy("entropy", [0.5, 0.5]).check(3)
    with pytest.raises(UserError, match="expected 3 thresholds, one per early exit, but got 2"):
        Policy("entropy", [0.5, 0.5]).check(4)


def test_never_switches_every_early_exit_off() -> None:
    assert Policy.never("margin", 3).enabled == (False, False)
    assert Policy.never("margin", 1).thresholds == ()


def test_json_holds_plain_types() -> None:
    policy = Policy("entropy", np.array([0.25]), np.array([True]), np.array([1, 2]))
    assert json.loads(json.dumps(policy.to_dict())) == {
        "criterion": "entropy",
        "thresholds": [0.25],
        "enabled": [True],
        "temperatures": [1.0, 2.0],
    }


@given(tables(), st.floats(0.2, 5))
def test_temperatures_divide_the_logits(table: ExitTable, temperature: float) -> None:
    early = table.num_exits - 1
    divided = Policy(
        "entropy", [0.5] * early, temperatures=[temperature] * (early + 1)
    ).apply_temperatures(table)
    powers = table.probabilities.astype(np.float64) ** (1 / temperature)
    expected = powers / powers.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(divided.probabilities, expected, atol=1e-6)


def test_temperatures_recompute_the_entropy_and_leave_the_rest() -> None:
    table = random_table(entropy=True)
    cold = Policy("entropy", [0.5] * 3)
    assert cold.apply_temperatures(table) is table
    hot = dataclasses.replace(cold, temperatures=(3.0, 1.0, 1.0, 1.0)).apply_temperatures(table)
    scores, before = CRITERIA["entropy"].scores(hot), CRITERIA["entropy"].scores(table)
    assert (scores[:, 0] < before[:, 0]).all()
    np.testing.assert_allclose(scores[:, 1:], before[:, 1:], atol=1e-5)
    np.testing.assert_array_equal(hot.confidence, table.confidence)


def test_temperatures_are_refused_where_the_tail_is_lost() -> None:
    table = random_table().truncated(2)
    policy = Policy("entropy", [0.5] * 3, temperatures=[2.0] * 4)
    with pytest.raises(UserError, match="top 2 of 5"):
        policy.apply_temperatures(table)
    assert dataclasses.replace(policy, temperatures=(1.0,) * 4).apply_temperatures(table) is table


def test_a_policy_is_read_from_a_text() -> None:
    policy = Policy("margin", (0.5, 0.25))
    assert Policy.from_json(json.dumps(policy.to_dict()), "'mine.json'") == policy


@pytest.mark.parametrize("text", ["", "no", b"\xff\xfe\x00", "[" * 100_000, "[1]", '{"x": NaN}'])
def test_a_text_that_is_no_policy_is_named(text: str | bytes) -> None:
    with pytest.raises(UserError, match=r"^(expected )?'mine\.json'"):
        Policy.from_json(text, "'mine.json'")


def test_thresholds_are_read_as_they_are_written() -> None:
    policy = Policy("margin", [0.25, 0.9, 1], [True, False, True], [1, 2, 1, 1])
    assert write_thresholds(policy) == "0.25, off, 1"
    assert read_thresholds(write_thresholds(policy), policy) == policy
    assert read_thresholds(" .5;OFF  0 ", policy).thresholds == (0.5, 0.9, 0)


@pytest.mark.parametrize(
    "text", ["", "0.5", "0.5, 0.5, 0.5, 0.5", "a, 0.5, 0.5", "2, 0, 0", "nan,0,0"]
)
def test_thresholds_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected"):
        read_thresholds(text, Policy("margin", [0.5] * 3))
