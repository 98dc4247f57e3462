import numpy as np
import pytest

from core.foundation.errors import UserError
from core.hub.registry import shipped_table
from core.tuning.drop_test import DropTest
from core.tuning.how_many import LIKELY, SIZES, how_many
from core.tuning.promise import farthest, lay, reference_right
from tests.core.exits.tables import random_table
from tests.core.tuning.test_promise import plain_of

SOME = (250, 1000, 4000, 16000)


def test_more_images_prove_more_and_a_larger_drop_takes_fewer() -> None:
    table = shipped_table("branchy8-mnist", "calibration")
    plain = reference_right(table, shipped_table("resnet8-mnist", "calibration"))
    walks = lay(table, "entropy", plain)
    careful, bold = (how_many(walks, drop, sizes=SOME, draws=100) for drop in (0.003, 0.01))
    assert (np.diff(careful.chance) > -0.1).all()
    assert careful.chance[-1] > 0.9
    assert (np.array(bold.chance) >= careful.chance).all()
    assert careful.needed is not None
    assert bold.needed is not None
    assert SOME[0] <= bold.needed < careful.needed <= SOME[-1]
    assert f"about {careful.needed:,} calibration images" in careful.sentence
    assert careful.to_dict()["samples"] == SOME


def test_the_chance_is_that_of_promises_on_so_many_images() -> None:
    """Against what is drawn and tested by hand."""
    table = random_table(2000, 3, seed=1)
    plain = plain_of(table, float(table.accuracy_per_exit[-1]))
    walks = lay(table, "margin", reference_right(table, plain))
    found = how_many(walks, 0.05, sizes=(600,), draws=400)
    walk, test = farthest(walks, 0.05), DropTest.of(450, 0.05, 0.9)
    random = np.random.default_rng(7)
    proven = 0
    for _ in range(400):
        loss = walk.loss[random.integers(walk.samples, size=450), 0]
        proven += test.proves(np.count_nonzero(loss == 1), np.count_nonzero(loss == -1))
    assert found.chance[0] == pytest.approx(proven / 400, abs=0.12)


def test_a_target_out_of_reach_is_said_to_be_so() -> None:
    table = random_table(2000, 3, seed=1)
    walks = lay(table, "margin", reference_right(table, plain_of(table, 1.0)))
    found = how_many(walks, 0.01, sizes=(500, 2000), draws=20)
    assert found.needed is None
    assert found.chance == (0, 0)
    assert found.relative_cost == (None, None)
    assert "no number of images proves that at most 1 percentage point" in found.sentence


def test_the_last_exit_as_the_reference_needs_no_images() -> None:
    found = how_many(lay(random_table(400, 3), "margin"), 0.01, sizes=SOME, draws=5)
    assert found.needed == SOME[0]
    with pytest.raises(UserError, match="`max_drop` to be a fraction"):
        how_many(lay(random_table(400, 3), "margin"), 2)


def test_sizes_span_what_people_have() -> None:
    assert SIZES[0] < 1000 < SIZES[-1]
    assert 0.5 < LIKELY < 1
