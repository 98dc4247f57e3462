import numpy as np
import pytest

from core.analysis.corruptions import CORRUPTIONS, corrupt
from core.analysis.counterfactuals import SEVERITIES, counterfactuals, versions
from core.data.samples import load_samples
from core.exits.routing import route
from core.hub.model import load
from core.hub.registry import card_of

MODEL = "eenet8-mnist"


@pytest.mark.parametrize("sample", [0, 51, 2000])
def test_nothing_less_sends_it_to_another_exit(sample: int) -> None:
    model, policy = load(MODEL), card_of(MODEL).default_policy
    pixels = load_samples("mnist").images[sample]
    images = versions(pixels)
    assert len(images) == 1 + len(CORRUPTIONS) * len(SEVERITIES)
    routing = route(model.table(images), policy)
    found = counterfactuals(routing)
    home = routing.exits[0]
    named = {(one.corruption, one.later): one for one in found}
    assert len(named) == len(found)
    for name in CORRUPTIONS:
        worse = np.stack([corrupt(pixels, name, severity) for severity in SEVERITIES])
        exits = route(model.table(worse), policy).exits
        for later in (True, False):
            moved = exits > home if later else exits < home
            one = named.get((name, later))
            assert (one is not None) == moved.any()
            if one is not None:
                assert one.severity == SEVERITIES[int(moved.argmax())]
                np.testing.assert_array_equal(
                    images[one.position], corrupt(pixels, name, one.severity)
                )
    assert [one.severity for one in found] == sorted(one.severity for one in found)


def test_some_digit_can_be_sent_further() -> None:
    model = load(MODEL)
    routing = route(
        model.table(versions(load_samples("mnist").images[0])), card_of(MODEL).default_policy
    )
    assert any(one.later for one in counterfactuals(routing))
