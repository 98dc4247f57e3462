"""Thresholds: a policy on a whole split, from the table that came with the model."""

import json

import streamlit as st

from app import charts, resources, state, wording
from app.components import controls
from app.components.figures import Column, Row, figures
from app.components.readout import Reading, readout
from app.components.style import heading, section
from app.guard import sentences
from core.card import Card
from core.criteria import CRITERIA
from core.errors import UserError
from core.policy import Policy
from core.report import Report, evaluate, exits_alone, saved, score_histogram
from core.table import ExitTable
from core.tuning.front import best_within_cost, cheapest_within_drop

BINS = 25
MOST_POINTS, MOST_COST = 5.0, 110


def page() -> None:
    """Show the page."""
    heading("Thresholds", "How sure is sure enough? Decide it for a whole test set at once.")
    card = controls.choices()
    if card.num_exits == 1:
        state.write_url()
        st.info(
            f"{card.title} has no early exits, so there is nothing to tune: it is the yardstick "
            f"({wording.percent(card.per_exit_accuracy['test'][-1], 2)} on test). "
            "Choose a model with early exits above.",
            icon=":material/straighten:",
        )
        return
    view = state.view()
    tables = resources.tables(view.model)
    test = tables["test"]
    report = evaluate(test, view.policy)
    _readings(card, report, evaluate(tables["calibration"], view.policy))
    _histograms(card, view.policy, test)
    curve, tuning = st.columns([2.2, 1], gap="large")
    with curve:
        _curve(card, view, test, report)
    with tuning:
        _tuning(card, view)
        _keeping(card, view)
    _per_exit(card, view.policy, test, report)
    state.write_url()


def _readings(card: Card, report: Report, calibration: Report) -> None:
    saving = saved(report.relative_cost)
    spent, whole = card.macs(report.relative_cost), card.plain_macs
    cost = f"{wording.macs(spent)} of {wording.macs(whole)} MACs per image"
    reference = card.reference_accuracy("test")
    yardstick = "plain network" if card.plain else "last exit"
    readout(
        [
            Reading("Compute saved", wording.percent(saving), cost, strong=True)
            if saving >= 0
            else Reading("Extra compute", wording.percent(-saving), cost, strong=True),
            Reading(
                "Accuracy",
                wording.percent(report.accuracy, 2),
                f"{yardstick} {wording.percent(reference, 2)}, "
                f"calibration {wording.percent(calibration.accuracy, 2)}",
            ),
            Reading(
                "Rescued by leaving early",
                f"{report.rescued:,}",
                "right, where the last exit is wrong",
            ),
            Reading(
                "Ruined by leaving early",
                f"{report.ruined:,}",
                "wrong, where the last exit is right",
            ),
        ],
        key="thresholds",
    )


def _histograms(card: Card, policy: Policy, table: ExitTable) -> None:
    criterion = CRITERIA[policy.criterion]
    section(
        "Who scores what",
        f"All {len(table):,} test images by {criterion.title.lower()}. "
        "Those right of the dotted line would leave.",
    )
    scores = criterion.scores(policy.heated(table))
    columns = st.columns(card.num_exits - 1, gap="medium")
    hues = charts.colours()
    for exit_index, column in enumerate(columns):
        right, wrong = score_histogram(scores[:, exit_index], table.right[:, exit_index], BINS)
        on = policy.enabled[exit_index]
        with column:
            name = wording.exit_name(exit_index, card.num_exits)
            st.plotly_chart(
                charts.score_histogram(
                    right, wrong, policy.thresholds[exit_index] if on else None, hues
                ),
                key=f"histogram-{exit_index}",
                config=charts.CONFIG,
                alt=f"Scores of right and of wrong answers at {name}",
            )
    controls.thresholds(card, policy, columns)


def _curve(card: Card, view: state.View, table: ExitTable, report: Report) -> None:
    section("Accuracy against compute", "Thresholds chosen on calibration, shown on test.")
    names = [wording.exit_name(index, card.num_exits) for index in range(card.num_exits)]
    plain = None
    if card.plain is not None:
        plain = charts.Marked("plain network", 1.0, card.plain.test_accuracy)
    st.plotly_chart(
        charts.accuracy_and_cost(
            resources.reachable_on(view.model, view.policy.criterion, "test"),
            exits_alone(table),
            names,
            plain,
            charts.Marked("you are here", report.relative_cost, report.accuracy),
            charts.colours(),
        ),
        key="curve",
        config=charts.CONFIG,
        alt="Accuracy against relative cost of all policies worth choosing",
    )


_WITHIN_DROP, _WITHIN_COST = "lose at most", "spend at most"


def _tuning(card: Card, view: state.View) -> None:
    section("Find thresholds")
    goal = st.segmented_control(
        "Goal",
        [_WITHIN_DROP, _WITHIN_COST],
        default=_WITHIN_DROP,
        required=True,
        key="goal",
        format_func=str.capitalize,
        help="The cheapest thresholds within an accuracy drop, or the most accurate ones within "
        "a compute budget. They are chosen on the calibration split, never on test.",
    )
    if goal == _WITHIN_COST:
        amount: float = st.slider(
            "Compute, of the plain network's",
            1,
            MOST_COST,
            50,
            format="%d %%",
            key="budget",
            help="Mean multiply-accumulates per image, heads included.",
        )
    else:
        amount = st.slider(
            "Accuracy, against the plain network",
            0.0,
            MOST_POINTS,
            0.5,
            0.1,
            format="%.1f points",
            key="drop",
            help="On the calibration split; on test it can turn out a little more or less.",
        )
    if st.button("Find", type="primary", icon=":material/search:", width="stretch"):
        with sentences():
            state.choose_policy(_found(card, view, goal == _WITHIN_COST, amount / 100))
            st.rerun()


def _found(card: Card, view: state.View, within_cost: bool, amount: float) -> Policy:
    front = resources.reachable(view.model, view.policy.criterion)
    if within_cost:
        return best_within_cost(front, amount)
    return cheapest_within_drop(front, card.reference_accuracy("calibration"), amount)


def _keeping(card: Card, view: state.View) -> None:
    section("Keep them")
    st.download_button(
        "Save as JSON",
        json.dumps(view.policy.to_dict(), indent=2),
        file_name=f"{card.name}-policy.json",
        mime="application/json",
        icon=":material/download:",
        width="stretch",
        help=f"For `python -m core evaluate {card.name} --policy FILE`.",
    )
    with st.popover("Copy the link", icon=":material/link:", width="stretch"):
        st.caption("Opens this page with the same model, criterion and thresholds.")
        st.code(state.link(), language=None, wrap_lines=True)
    with st.popover("Load from a file", icon=":material/upload:", width="stretch"):
        file = st.file_uploader("A policy in JSON", type="json", key="policy-file")
        if file is not None and st.session_state.get("policy-read") != file.file_id:
            with sentences():
                policy = Policy.from_json(file.getvalue(), file.name)
                _check(policy, card)
                st.session_state["policy-read"] = file.file_id
                state.choose_policy(policy)
                st.rerun()


def _check(policy: Policy, card: Card) -> None:
    policy.check(card.num_exits)
    if policy.criterion not in card.criteria:
        raise UserError(
            f"expected a criterion of {card.title}, one of {', '.join(card.criteria)}, but got "
            f"'{policy.criterion}'; choose another model or file."
        )


_COLUMNS = (
    Column("Exit"),
    Column("Leave here", "Part of all test images that leaves at this exit."),
    Column("Right, of those", "Accuracy of the images that leave here."),
    Column("Right, had all left here", "Accuracy of this exit over the whole test split."),
    Column(
        "Cost to here",
        "MACs up to this exit, the heads in use included, in units of the plain network.",
    ),
    Column(
        "AUROC",
        "Probability that a right answer scores higher than a wrong one; 0.5 is a coin toss.",
    ),
    Column(
        "Calibration error",
        "How far the answer's probability is from how often it is right, on average (15 bins).",
    ),
)


def _per_exit(card: Card, policy: Policy, table: ExitTable, report: Report) -> None:
    section("Exit by exit", f"{len(table):,} test images. Point at a heading for what it means.")
    costs = table.relative_costs(policy.enabled)
    rows = [
        Row(
            wording.exit_name(index, card.num_exits),
            report.exit_share[index],
            (
                wording.percent(report.accuracy_of_left[index], 2),
                wording.percent(report.per_exit_accuracy[index], 2),
                wording.percent(float(costs[index])),
                wording.three(report.auroc[index]),
                wording.percent(report.calibration_error[index]),
            ),
            kind="" if index == card.num_exits - 1 or policy.enabled[index] else "off",
        )
        for index in range(card.num_exits)
    ]
    rows.append(
        Row(
            "All together",
            sum(report.exit_share),
            (
                wording.percent(report.accuracy, 2),
                wording.MISSING,
                wording.percent(report.relative_cost),
                wording.MISSING,
                wording.MISSING,
            ),
            kind="total",
        )
    )
    figures(_COLUMNS, rows)
