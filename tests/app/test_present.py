from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from app import resources
from app.levels import at, holding, levels
from app.tour import load_tour
from app.views.present import LEVEL
from core.analysis.corruptions import corrupt
from core.data.samples import load_samples
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import route
from core.foundation.errors import UserError
from core.hub.registry import card_of, shipped_models, shipped_table
from tests.app.pages import components, errors, link, opened_page

MODEL = "eenet8-mnist"
SAYS = {  # of steps of the tour: where it leaves, counted from 1, and what exits answer
    "One look is enough": (1, ["stop sign"]),
    "This one takes all of it": (4, ["rooster", "cougar body", "wild cat", "wild cat"]),
    "How sure is sure enough?": (1, ["beaver", "okapi"]),
    "What caution costs": (4, ["beaver", "okapi", "okapi", "okapi"]),
    "In between": (2, ["beaver", "okapi"]),
    "Thinking too long": (1, ["stegosaurus", "stegosaurus", "stegosaurus", "crocodile"]),
    "Sharp": (1, ["leopards"]),
    "Blurred": (4, ["octopus", "leopards", "leopards", "leopards"]),
    "Digits are easier": (3, ["0", "0", "5"]),
}


def journey(app: Any) -> dict[str, Any]:
    (data,) = [data for data in components(app) if "levels" in data]
    return data


@pytest.mark.parametrize("name", ["eenet8-mnist", "eenet20-cifar10", "ptee-lite0-photos"])
def test_from_level_to_level_no_image_leaves_earlier(name: str) -> None:
    found = levels(name, card_of(name).default_policy)
    assert 10 < len(found) <= 60
    table = shipped_table(name, "test")
    exits = np.stack([route(table, one.policy).exits for one in found])
    assert (np.diff(exits, axis=0) >= 0).all()
    assert (exits[-1] == table.num_exits - 1).all()
    for one in found[:: len(found) // 3]:
        report = evaluate(table, one.policy)
        assert (one.accuracy, one.cost) == pytest.approx((report.accuracy, report.relative_cost))


def test_a_policy_from_elsewhere_stands_at_its_cost() -> None:
    policy = Policy("margin", (0.9, 0.2))
    found = levels(MODEL, policy)
    with_own, place = holding(found, MODEL, policy)
    assert with_own[place].policy == policy
    costs = [one.cost for one in with_own]
    assert costs[place - 1] <= costs[place] <= costs[place + 1]
    again, same = holding(with_own, MODEL, policy)
    assert (again, same) == (with_own, place)


@pytest.mark.parametrize("name", ["resnet8-mnist", "exclusion8-mnist", "branchy20-cifar10"])
def test_every_kind_of_network(name: str) -> None:
    app = opened_page("present", f"model={name}&sample=5")
    assert errors(app) == []
    data = journey(app)
    card = card_of(name)
    assert len(data["stages"]) == len(data["exits"]) == card.num_exits
    assert (len(data["levels"]) == 1) == (card.num_exits == 1)


def test_what_is_shown_is_what_the_library_says() -> None:
    app = opened_page("present", f"model={MODEL}&sample=12&thresholds=0.99,0.9")
    data = journey(app)
    samples = load_samples("mnist").select(np.array([11]))
    policy = Policy(card_of(MODEL).default_policy.criterion, (0.99, 0.9))
    routing = route(resources.table_of(MODEL, samples.images), policy)
    shown = data["levels"][data["level"]]
    assert shown["exit"] == routing.exits[0]
    assert shown["answer"] == samples.classes[routing.answers[0]]
    assert shown["scores"] == pytest.approx(routing.early_scores[0].tolist())
    assert data["truth"] == samples.classes[samples.labels[0]]


def test_a_tour_begins_and_ends() -> None:
    app = opened_page("present", f"model={MODEL}")
    app.button[0].click().run()
    assert errors(app) == []
    steps = load_tour()
    assert link(app)["tour"] == "1"
    assert steps[0].title in app.markdown[0].value
    assert app.button(key="tour-Back").disabled
    for number in range(2, len(steps) + 1):
        app.button(key="tour-Next").click().run()
        assert errors(app) == []
        assert not app.warning
        assert link(app)["tour"] == str(number)
    assert app.button(key="tour-Next").disabled


@pytest.mark.parametrize("step", load_tour(), ids=lambda step: step.title)
def test_a_step_of_the_tour_shows_what_it_says(step: Any) -> None:
    shows = step.shows
    assert shows["model"] in shipped_models()
    card = card_of(shows["model"])
    samples = resources.samples(card)
    assert samples is not None
    image = samples.images[int(shows["sample"]) - 1]
    if "spoil" in shows:
        image = corrupt(image, shows["spoil"], float(shows["severity"]))
    policy = at(levels(card.name, card.default_policy), float(shows[LEVEL]))
    routing = route(resources.table_of(card.name, image[None]), policy)
    if step.title in SAYS:
        leaves, said = SAYS[step.title]
        answers = [samples.classes[answer] for answer in routing.exit_answers[0]]
        assert routing.exits[0] + 1 == leaves
        assert answers[: len(said)] == said


def test_all_steps_that_are_checked_are_there() -> None:
    assert SAYS.keys() <= {step.title for step in load_tour()}


def test_a_tour_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.md"
    monkeypatch.setenv("EENET_TOUR", str(path))
    with pytest.raises(UserError, match=r"mine\.md cannot be read"):
        load_tour()
    path.write_text("No steps.")
    with pytest.raises(UserError, match="one for each step"):
        load_tour()
    query = urlencode({"model": MODEL, "sample": 3, LEVEL: 100})
    path.write_text(f"## One\nLook.\n[Shown](?{query})\n\n## Two\n[Gone](?model=lost)\nNothing.")
    app = opened_page("present", "model=eenet20-cifar10")
    app.button[0].click().run()
    data = journey(app)
    assert link(app)["model"] == MODEL
    assert data["level"] == len(data["levels"]) - 1
    assert data["name"].startswith("Sample 3 ")
    app.button(key="tour-Next").click().run()
    assert errors(app) == []
    assert "a model called “lost”" in app.warning[0].value


def test_a_step_that_is_not_there_is_the_last_one() -> None:
    app = opened_page("present", f"model={MODEL}&tour=99")
    assert errors(app) == []
    assert app.button(key="tour-Next").disabled
