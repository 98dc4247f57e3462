"""Links: what is copied is seen again, what cannot be had is said, the rest brought into range."""

import pytest

from core.exits.policy import Policy
from core.exits.report import evaluate
from core.hub.registry import card_of, shipped_models, shipped_table
from tests.app.pages import components, errors, html, link, opened_page

MODEL = "eenet8-mnist"
PLAIN = "resnet8-mnist"
POLICY = "criterion=margin&thresholds=0.9,0.8&off=1"
BOTH = f"model={MODEL}&thresholds=0.9,0.8&b-model={MODEL}&b-criterion=entropy"


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("playground", f"{POLICY}&sample=777"),
        ("playground", "sample=9&spoil=noise&severity=0.5"),
        ("samples", "of=test&exit=2&class=4&answer=wrong&from=0.25&order=most_sure&open=34"),
        ("compare", f"{POLICY}&b-model={MODEL}&b-criterion=entropy&b-thresholds=0.5,0.5&b-off=2"),
        ("train", "loss=v1&lambda=0.25&epochs=7&exits=block1&seed=3"),
        ("edge_cloud", "split=block1&rate=10000000&bits=8&speed=5&images=1000"),
        ("edge_cloud", f"{POLICY}&show=answering&least=energy&trip=7&slower=20&watts=1.5&hard=40"),
        ("learn", "step=3"),
    ],
)
def test_a_link_reproduces_what_it_was_copied_from(page: str, query: str) -> None:
    app = opened_page(page, f"model={MODEL}&{query}")
    assert errors(app) == []
    asked = dict(part.split("=", 1) for part in query.split("&"))
    assert asked.items() <= link(app).items()
    again = opened_page(page, "&".join(f"{name}={value}" for name, value in link(app).items()))
    assert link(again) == link(app)
    assert html(again).split("Measured")[0] == html(app).split("Measured")[0]


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("playground", "model=nonsense"),
        ("playground", f"model={MODEL}&thresholds=nan,inf&spoil=paint&severity=0.5"),
        ("playground", f"model={MODEL}&thresholds=-3,7,8,9&spoil=noise&severity=nan"),
        ("playground", f"model={MODEL}&thresholds=<script>"),
        ("playground", f"model={MODEL}&criterion=tarot&sample=99999999"),
        ("playground", f"model={MODEL}&criterion=entropy&thresholds=&off=x,-1,400"),
        ("playground", f"model={MODEL}&temperatures=0,0,0&sample=-4"),
        ("playground", "model=&sample=1e9&criterion=%00"),
        ("samples", "exit=99&class=<script>&answer=maybe&flip=x&order=x&page=x&open=x&of=x"),
        ("samples", "exit=-1&page=0&open=999999999&from=nan&to=inf"),
        ("samples", "from=7&to=-7&page=99999999999999"),
        ("samples", "from=0.9&to=0.1&exit=1e3&last=any&flip=any"),
        ("compare", f"{BOTH}&change=x&change-order=x&change-page=0"),
        ("compare", f"{BOTH}&change-page=999999"),
        ("compare", "b-model=nonsense&b-thresholds=nan"),
        ("compare", f"b-model={MODEL}&b-thresholds=-7,9,3&b-criterion=<script>&b-off=x"),
        ("compare", f"b-model={PLAIN}&b-thresholds=0.1,0.2&b-off=1"),
        ("compare", "b-=1&b-b-model=2"),
        ("train", "loss=tarot&lambda=nan&epochs=-3&exits=moon&seed=x"),
        ("model", "show=own&pixels=7&classes=-3&exits=a,b"),
        ("model", "show=own&network=resnet9&head=x&train=x&epochs=999"),
        ("edge_cloud", f"model={MODEL}&split=x&rate=-3&bits=7&speed=nan&images=0"),
        ("edge_cloud", f"model={MODEL}&show=answering&least=x&trip=-1&slower=nan&watts=x&hard=999"),
    ],
)
def test_a_strange_link_is_brought_into_range(page: str, query: str) -> None:
    app = opened_page(page, query)
    assert errors(app) == []
    assert "<script>" not in html(app)
    thresholds = str(link(app).get("thresholds", "0")).split(",")
    assert all(0 <= float(threshold) <= 1 for threshold in thresholds)
    assert components(app) or page in ("train", "edge_cloud", "model")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("model=my-lost-model&criterion=margin&thresholds=0.5,0.6", "called “my-lost-model”"),
        ("model=<img src=x>", "called “ img src x "),
        (f"model={MODEL}&thresholds=abc,2", "“abc” is no number"),
        (f"model={MODEL}&thresholds=0.5,2", r"in [0, 1], not 2"),
        (f"model={MODEL}&thresholds=0.5,nan", "not nan"),
        (f"model={MODEL}&thresholds=0.5,0.6,0.7", "2 early exits, and the link 3 thresholds"),
        (f"model={MODEL}&thresholds=0.5", "2 early exits, and the link 1 threshold."),
        (f"model={MODEL}&criterion=tarot&thresholds=0.5,0.6", "no criterion “tarot”"),
        (f"model={MODEL}&thresholds=0.5,0.6&off=7", "no exits “7”"),
        (f"model={MODEL}&thresholds=0.5,0.6&temperatures=1,-2,1", "above 0"),
        (f"model={MODEL}&thresholds=0.5,0.6&temperatures=1,2", "needs 3 `temperatures`"),
        (f"model={PLAIN}&thresholds=0.5,0.6", "0 early exits, and the link 2 thresholds"),
    ],
)
def test_what_a_link_wants_and_cannot_have_is_said_and_nothing_is_grafted(
    query: str, says: str
) -> None:
    app = opened_page("thresholds", query)
    assert errors(app) == []
    (warning,) = (one.value for one in app.warning)
    assert says in warning
    assert "Shown instead: " in warning
    seen = link(app)
    card = card_of(seen["model"])
    assert seen.get("thresholds", "") == ",".join(map(repr, card.default_policy.thresholds))
    assert seen["criterion"] == card.default_policy.criterion
    app.run()
    assert len(app.warning) == 1
    another = next(name for name in shipped_models() if name != seen["model"])
    app.selectbox(key="model").set_value(another).run()
    assert len(app.warning) == 0


def test_another_score_alone_comes_with_thresholds_that_cost_the_same() -> None:
    app = opened_page("thresholds", f"model={MODEL}&criterion=margin")
    assert len(app.warning) == 0
    policy = card_of(MODEL).default_policy
    assert link(app)["thresholds"] != ",".join(map(repr, policy.thresholds))
    wanted = evaluate(shipped_table(MODEL, "calibration"), policy).relative_cost
    found = Policy("margin", [float(one) for one in link(app)["thresholds"].split(",")])
    cost = evaluate(shipped_table(MODEL, "calibration"), found).relative_cost
    assert cost == pytest.approx(wanted, abs=0.02)


def test_a_lost_right_side_is_said_too() -> None:
    app = opened_page("compare", f"model={MODEL}&b-model=my-lost-model&b-thresholds=0.1,0.2")
    assert ["“my-lost-model”" in one.value for one in app.warning] == [True]
    assert link(app)["b-thresholds"] != "0.1,0.2"
