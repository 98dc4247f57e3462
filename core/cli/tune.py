"""The command that chooses thresholds."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from core.cli.options import Json, ModelName
from core.cli.policy import check_criterion
from core.cli.text import (
    describe_policy,
    needed_text,
    note,
    quality_rows,
    table_text,
    to_json,
    tuned_rows,
)
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.foundation.files import check_writable
from core.hub.methods import own_criterion
from core.hub.receipt import LAST_EXIT, PLAIN, Goal, Receipt
from core.hub.registry import card_of, plain_table, shipped_table, tables_of
from core.tuning.calibration import (
    ProbabilityQuality,
    calibrated,
    probability_quality,
    temperatures_for,
)
from core.tuning.guarantee import Controlled, control, risk_on
from core.tuning.how_many import how_many as images_needed
from core.tuning.promise import CONFIDENCE, Promise, lay, points, promise, reference_right
from core.tuning.risk import RISKS
from core.tuning.selective import (
    SELECTIVE,
    SELECTIVE_TITLE,
    Selective,
    control_selective,
    selective_error,
)
from core.tuning.tune import check_one_goal
from core.tuning.tune import tune as tuned

"""The risk of `core.tuning.selective`, beside those of `core.tuning.risk`."""


def tune(
    model: ModelName,
    max_cost: Annotated[
        float | None, typer.Option(metavar="X", help="Most accurate within this relative cost.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Cheapest that is proven to lose at most this accuracy against the plain network; "
            "0.01 is a point.",
        ),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(
            metavar="G",
            help="Probability with which --max-drop has to hold on new images. 0: optimistic, the "
            "cheapest that loses no more on the calibration images themselves.",
        ),
    ] = CONFIDENCE,
    max_risk: Annotated[
        float | None, typer.Option(metavar="EPS", help="Cheapest with a risk proven at most this.")
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(metavar="A", help="Leave at scores whose samples have this accuracy."),
    ] = None,
    delta: Annotated[
        float, typer.Option(metavar="D", help="Probability of a wrong guarantee, for --max-risk.")
    ] = 0.1,
    risk: Annotated[
        str,
        typer.Option(
            metavar="R",
            help="accuracy_gap, ruined, consistency, brier_gap, or selective: the error among "
            "those that leave at each exit.",
        ),
    ] = "accuracy_gap",
    method: Annotated[str, typer.Option(metavar="M", help="ucb, ltt or crc.")] = "ucb",
    criterion: Annotated[
        str | None,
        typer.Option(
            metavar="C", help="By default the method's own for --max-drop, else the best of all."
        ),
    ] = None,
    how_many: Annotated[
        bool,
        typer.Option(
            "--how-many", help="Only say how many calibration images it takes to prove --max-drop."
        ),
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="Give every exit a temperature, fitted on calibration, first."
        ),
    ] = False,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="calibration.")] = "calibration",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the policy (.json).")
    ] = None,
    as_json: Json = False,
) -> str:
    """Choose thresholds on the calibration split; show what they achieve on test."""
    card = card_of(model)
    if out is not None:
        check_writable(out)
    goals = {
        "max_cost": max_cost,
        "max_drop": max_drop,
        "max_risk": max_risk,
        "min_accuracy": min_accuracy,
    }
    check_one_goal({f"--{name.replace('_', '-')}": value for name, value in goals.items()})
    if split != "calibration":
        raise UserError(
            f"expected --split calibration, but got {split!r}: a policy chosen on the images it is "
            "reported on looks better than it is; tune on calibration and report on test."
        )
    if card.num_exits == 1:
        raise UserError(f"expected a model with early exits to tune, but {card.name} has none.")
    if criterion is not None:
        check_criterion(card, criterion)
    calibration, test = shipped_table(model, "calibration"), tables_of(model).get("test")
    tables = {"calibration": calibration} | ({} if test is None else {"test": test})
    plains = {name: plain_table(card, name, table) for name, table in tables.items()}
    temperatures = temperatures_for(calibration) if calibrate else None
    tuned_on = calibrated(calibration, temperatures)
    own = criterion or own_criterion(card.method, card.criteria)
    if how_many:
        if max_drop is None:
            raise UserError("expected --how-many with --max-drop, but got another goal.")
        plain = plains["calibration"]
        right = None if plain is None else reference_right(calibration, plain)
        found = images_needed(lay(tuned_on, own, right), max_drop, confidence)
        return to_json({"model": card.name} | found.to_dict()) if as_json else needed_text(found)
    proven: Promise | Controlled | Selective | None = None
    risk_on_test: float | tuple[float | None, ...] | None = None
    if max_risk is not None and risk == SELECTIVE:
        proven = control_selective(tuned_on, own, max_risk, delta, method)
    elif max_risk is not None:
        criteria = card.criteria if criterion is None else (criterion,)
        proven = control(tuned_on, criteria, max_risk, delta, method, risk)
    elif max_drop is not None and confidence != 0:
        proven = promise(tuned_on, own, max_drop, confidence, plains["calibration"])
    if proven is not None:
        policy = proven.policy
    else:
        policy = tuned(
            tuned_on,
            max_cost=max_cost,
            max_drop=max_drop,
            min_accuracy=min_accuracy,
            criterion=criterion,
            plain=plains["calibration"],
            confidence=confidence,
        )
    policy = replace(policy, temperatures=temperatures)
    if max_risk is not None and test is not None:
        selective = risk == SELECTIVE
        risk_on_test = (
            selective_error(route(test, policy)) if selective else risk_on(test, policy, risk)
        )
    against = LAST_EXIT if isinstance(proven, Promise) and not proven.against_plain else PLAIN
    sure = None if proven is None else confidence if max_drop is not None else 1 - delta
    (kind, limit) = next((name, value) for name, value in goals.items() if value is not None)
    title = RISKS[risk].title if risk in RISKS else SELECTIVE_TITLE
    goal = Goal(kind, limit, against, sure, title if max_risk is not None else "")
    qualities = _qualities(tables, temperatures)
    promised = "" if proven is None else proven.guarantee
    receipt = Receipt.of(card, policy, goal, promised, tables, plains, risk_on_test)
    figures = receipt.figures
    if out is not None:
        receipt.save(out)
        note(f"Saved the policy to {out}.")
    if as_json:
        guarantee = proven and replace(proven, policy=policy).to_dict()
        if guarantee and max_risk is not None:
            guarantee["risk_on_test"] = risk_on_test
        return to_json(
            {
                "model": card.name,
                "split": split,
                **goals,
                "reference_accuracy": card.reference_accuracy("calibration"),
                "policy": policy.to_dict(),
                "promise": guarantee,
                "probabilities": {
                    name: {"before": asdict(before), "after": asdict(after)}
                    for name, (before, after) in qualities.items()
                },
                **{name: one.model_dump() for name, one in figures.items()},
            }
        )
    text = f"{describe_policy(policy, card)}\n\n{table_text(tuned_rows(card, figures))}"
    if temperatures is not None:
        shown = "test" if test is not None else "calibration"
        rows = quality_rows(card.exit_names, temperatures, *qualities[shown])
        text += f"\n\nProbabilities of each exit on {shown}:\n{table_text(rows)}"
    if proven is not None:
        text += f"\n\n{proven.guarantee}"
    elif max_drop is not None:
        text += (
            f"\n\nAn optimistic choice: it loses at most {points(max_drop)} on the calibration "
            "images, which chose it, and usually more on new ones."
        )
    if isinstance(risk_on_test, tuple):
        shares = " · ".join("–" if one is None else f"{one:.2%}" for one in risk_on_test)
        text += f" Measured on test, exit by exit: {shares}."
    elif risk_on_test is not None:
        text += f" Measured on test: {risk_on_test:.4f} of {max_risk:g}."
    return text


def _qualities(
    tables: Mapping[str, ExitTable], temperatures: tuple[float, ...] | None
) -> dict[str, tuple[ProbabilityQuality, ProbabilityQuality]]:
    """Return the quality of the probabilities of each split before and after."""
    if temperatures is None:
        return {}
    return {
        split: (probability_quality(table), probability_quality(table, temperatures))
        for split, table in tables.items()
    }
