from pathlib import Path

from core.hub.registry import card_of, shipped_models
from core.hub.results import BEGIN, END, models_table, results_table, results_text

README = Path(__file__).resolve().parents[3] / "README.md"


def test_readme_shows_what_the_cards_say() -> None:
    tables = results_text([card_of(name) for name in shipped_models()])
    assert f"{BEGIN}\n{tables}\n{END}" in README.read_text(encoding="utf-8"), (
        "the cards changed: run `make results`"
    )


def test_every_early_exit_model_stands_beside_its_plain_network() -> None:
    table = results_table([card_of(name) for name in shipped_models()])
    early = [name for name in shipped_models() if card_of(name).num_exits > 1]
    assert early
    for name in early:
        assert f"`{name}`" in table
        assert card_of(name).plain is not None


def test_a_budget_takes_the_best_point_that_keeps_to_it() -> None:
    card = card_of("eenet8-mnist")
    (first, *_), (budget,) = (
        [point for point in card.operating_points if (point.max_cost is None) == drop]
        for drop in (True, False)
    )
    plain = card.reference_accuracy("test")
    for points, best in (((first, budget), budget), ((first,), first)):
        row = results_table([card.model_copy(update={"operating_points": points})]).splitlines()[2]
        gain, *interval = (
            100 * one for one in (best.test.accuracy - plain, *best.test.difference_interval)
        )
        change = "{:+.2f}; {:+.2f} to {:+.2f}".format(gain, *interval)
        assert row.split(" | ")[-2] == f"**{best.test.relative_cost:.1%}** ({change})"
    dear = first.calibration.model_copy(update={"relative_cost": 0.21})
    point = first.model_copy(update={"calibration": dear})
    row = results_table([card.model_copy(update={"operating_points": (point,)})]).splitlines()[2]
    assert row.split(" | ")[-2] == "–"
    assert row.split(" | ")[-3] != "–"


def test_a_model_that_began_as_another_says_so() -> None:
    rows = models_table([card_of("pteenet20-cifar10"), card_of("resnet20-cifar10")]).splitlines()
    assert "12 epochs after `resnet20-cifar10`, " in rows[-2]
    assert "90 epochs, " in rows[-1]
