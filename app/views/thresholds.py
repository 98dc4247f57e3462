"""Thresholds: a policy on a whole split, from the table that came with the model."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from app import resources, state, text
from app.charts import exits, plotly
from app.components import remaining_classes
from app.components.copy_link import copy_link
from app.components.errors import sentences, show_mistake
from app.components.html import TOTAL, Cell, Column, Row, facts, heading, readings, section
from app.components.html import table as html_table
from app.components.model_choice import choices, retuned, split_note
from app.components.premise import Score, score_choice, with_earlier
from app.components.threshold_charts import (
    curve,
    histograms,
    live_split,
    report_readings,
    save_curve,
    save_histograms,
    sure,
)
from app.components.widgets import bound, save_button
from app.session import own_query
from core.exits.criteria import CRITERIA
from core.exits.metrics import most_confused
from core.exits.policy import RECEIPT, Policy
from core.exits.report import Report, classes_left
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.hub.card import Card
from core.hub.receipt import LAST_EXIT, PLAIN, Goal, Receipt, check_receipt
from core.tuning.calibration import calibrated
from core.tuning.front import best_within_cost, cheapest_within_drop
from core.tuning.guarantee import Controlled
from core.tuning.risk import RISKS
from core.tuning.selective import SELECTIVE, SELECTIVE_TITLE, Selective
from core.tuning.validated import validated_thresholds

MOST_POINTS, MOST_COST = 5.0, 110


def page() -> None:
    """Show the page."""
    heading("Thresholds", "How sure is sure enough? Decide it for a whole test set at once.")
    card = choices()
    view = state.view()
    split = resources.shown_split(view.model)
    split_note(view.model)
    if card.num_exits == 1:
        state.write_url()
        st.info(
            f"{card.title} has no early exits, so there is nothing to tune: it is the yardstick "
            f"({text.percent(card.exit_accuracy(split)[-1], 2)} on {split}). "
            "Choose a model with early exits above.",
            icon=":material/straighten:",
        )
        return
    figures_place, tools = st.columns([3, 1], gap="large")
    with figures_place:
        _figures(card, view)
    with tools:
        _tuning(card, view)
        _keeping(card, view)
    _remaining_classes(card, view)
    _probabilities(card, view)
    _one_exit(card, view)
    state.write_url()


def _figures(card: Card, view: state.View) -> None:
    split, table = resources.shown_split(view.model), resources.shown_table(view.model)
    many = f"All {len(table):,} {split} images"
    report = resources.report_on(view.model, split, view.policy)
    calibration = resources.report_on(view.model, "calibration", view.policy)
    chart, moving = curve(card, view, table, report)
    live_split(
        card,
        view,
        table,
        readings(report_readings(card, view, report))
        + sure(view)
        + section(
            "Scores at each exit",
            f"{many} by {CRITERIA[view.policy.criterion].title.lower()}. Images right of the line "
            "stop here, if they get here. Drag the lines.",
        )
        + histograms(card, view.policy, table),
        section(
            "Accuracy against compute",
            f"The best thresholds were chosen on calibration, where yours reach "
            f"{text.percent(calibration.accuracy, 2)} at {text.percent(calibration.relative_cost)} "
            f"of the compute, and are shown on {split}. Click the line to take its thresholds.",
        )
        + chart
        + section("Exit by exit", f"{many}. Point at a heading for its meaning.")
        + _per_exit(card, view.policy, table, report),
        key="split",
        **moving,
    )
    save_histograms(card, view.policy, table, split, "split")
    save_curve(card, moving["front"], split, "split")


def _remaining_classes(card: Card, view: state.View) -> None:
    remaining = classes_left(resources.shown_table(view.model), view.policy)
    if remaining is None:
        return
    shares, counts = remaining
    names = text.exit_names(card.num_exits)
    shown = [index for index, on in enumerate(view.policy.enabled) if on]
    st.html(
        section(
            "Which classes are left",
            "Of the images that reach an exit: for how many each class is still possible "
            "afterwards. One class left is an answer.",
        )
        + remaining_classes.of_many_images(
            card.classes,
            [names[index] for index in shown],
            shares[shown].tolist(),
            counts[shown].tolist(),
        )
    )


def _probabilities(card: Card, view: state.View) -> None:
    """Show what temperatures do to every exit's probabilities."""
    temperatures = view.policy.temperatures
    if temperatures is None:
        return
    split = resources.shown_split(view.model)
    before = resources.quality_on(view.model, split, None)
    after = resources.quality_on(view.model, split, temperatures)
    figures = zip(
        text.exit_names(card.num_exits),
        map(text.three, temperatures),
        map(text.three, before.negative_log_likelihood),
        map(text.three, after.negative_log_likelihood),
        map(_two, before.calibration_error),
        map(_two, after.calibration_error),
        strict=True,
    )
    likelihood = "Mean of −ln of the right class's probability: lower is better."
    error = "How far the answer's probability is from how often it is right, on average (15 bins)."
    columns = [
        Column("Exit"),
        Column("Temperature", "Divides the logits: above 1, the exit was too sure of itself."),
        Column("Negative log-likelihood", likelihood),
        Column("calibrated", likelihood),
        Column("Calibration error", error),
        Column("calibrated", error),
    ]
    st.html(
        section(
            "Calibrated probabilities",
            f"Temperatures were fitted on a quarter of the calibration images; {split} shows what "
            "they do. No answer changes, but scores do, and with them where images leave.",
        )
        + html_table(columns, [Row(list(row)) for row in figures])
    )


def _two(fraction: float) -> str:
    return text.percent(fraction, 2)


def _one_exit(card: Card, view: state.View) -> None:
    st.html(section("One exit on all images", "Whether an image would leave there or not."))
    exit_index = st.segmented_control(
        "Exit",
        range(card.num_exits),
        default=0,
        required=True,
        key="closer",
        format_func=lambda index: text.exit_name(index, card.num_exits),
        help="Left: are its probabilities as high as its accuracy? Right: which classes does it "
        "confuse?",
    )
    if exit_index is None or exit_index >= card.num_exits:
        exit_index = 0
    split, temperatures = resources.shown_split(view.model), view.policy.temperatures
    plain = resources.reliability_on(view.model, split, exit_index, None)
    drawn = [plain]
    if temperatures is not None:
        drawn.insert(0, resources.reliability_on(view.model, split, exit_index, temperatures))
    believed, mixed_up = st.columns(2, gap="large")
    with believed:
        plotly.show(
            exits.reliability(*drawn),
            "reliability",
            "Reliability diagram: how often answers of a probability are right",
        )
    with mixed_up:
        counts = resources.confusion_on(view.model, split, exit_index)
        shown = list(range(len(counts)))
        if len(counts) > _MOST_CLASSES:
            shown = most_confused(counts, _FEWER_CLASSES).tolist()
        plotly.show(
            exits.confusion(counts[shown][:, shown], [card.classes[label] for label in shown]),
            "confusion",
            "Confusion matrix without the right answers",
        )
        if len(shown) < len(card.classes):
            st.caption(
                f"Of {len(card.classes)} classes the {len(shown)} that are confused most often."
            )


_MOST_CLASSES, _FEWER_CLASSES = 20, 12
"""How many a confusion matrix can show, and how many of more it does."""

_WITHIN_DROP, _WITHIN_COST = "lose at most", "spend at most"
_VALIDATED, _GUARANTEE = "validated", "guarantee"
_GOALS = {
    _WITHIN_DROP: "Accuracy loss",
    _WITHIN_COST: "Compute",
    _VALIDATED: "Often right",
    _GUARANTEE: "Guarantee",
}
_FOUND, _REFUSED = "found", "calibrate-refused"
_OPTIMISTIC = 0
_CONFIDENCES = (_OPTIMISTIC, 50, 60, 70, 80, 85, 90, 95, 98, 99)


@dataclass(frozen=True)
class Found:
    """Thresholds that were found.

    Attributes:
        policy: these.
        goal: what they were chosen for.
        promised: what is sure of them; "" where nothing is.
        reasons: by what.
        risk: a name in `RISKS`, or `SELECTIVE`, that the goal limits.
    """

    policy: Policy
    goal: Goal
    promised: str = ""
    reasons: str = ""
    risk: str = ""


Find = Callable[[], Found]


def _calibrating(view: state.View) -> None:
    def choose(on: bool) -> None:
        try:
            temperatures = resources.temperatures_of(view.model) if on else None
        except UserError as error:
            st.session_state[_REFUSED] = str(error)
            return
        policy, _ = retuned(view.model, view.policy, view.policy.criterion, temperatures)
        state.choose_policy(policy)

    bound(
        st.toggle,
        "Calibrate probabilities",
        key="calibrate",
        value=view.policy.temperatures is not None,
        choose=choose,
        help="Give every exit a temperature, so that its probabilities match how often it is "
        "right. It divides the logits and never changes an answer. Thresholds follow: they cost "
        "the same as before.",
    )
    if _REFUSED in st.session_state:
        show_mistake(st.session_state.pop(_REFUSED))


def _tuning(card: Card, view: state.View) -> None:
    st.html(section("Find thresholds"))
    _calibrating(view)
    goal = st.segmented_control(
        "Goal",
        [_WITHIN_DROP, _WITHIN_COST, _VALIDATED, _GUARANTEE],
        default=_WITHIN_DROP,
        required=True,
        key="goal",
        wrap=True,
        format_func=lambda name: _GOALS[name],
        help="**Accuracy loss**: the cheapest thresholds that are proven to lose at most so much "
        "accuracy against the plain network. **Compute**: the most accurate ones that spend "
        "at most so much compute. **Often right**: an image leaves where images with a "
        "similar score were right often enough. **Guarantee**: the cheapest ones whose risk on new "
        "images is proven. They are chosen on the calibration split, never on test.",
    )
    controls_of = {
        _WITHIN_DROP: _drop,
        _WITHIN_COST: _budget,
        _VALIDATED: _validated,
        _GUARANTEE: _guarantee,
    }
    with sentences():
        find = controls_of[goal or _WITHIN_DROP](card, view)
    if st.button("Find", type="primary", icon=":material/search:", width="stretch"):
        with sentences():
            found = find()
            st.session_state[_FOUND] = found, _receipt(card, view.model, found)
            state.choose_policy(found.policy)
            st.rerun()
    found, receipt = st.session_state.get(_FOUND, (None, None))
    if receipt is not None and (receipt.policy, receipt.sha256) == (view.policy, card.sha256):
        _show_receipt(receipt, found.reasons)


def _receipt(card: Card, model: str, found: Found) -> Receipt:
    tables = resources.tables(model)
    plains = {split: resources.plain_on(model, split) for split in tables}
    risk = resources.risk_of(model, found.policy, found.risk) if found.risk else None
    return Receipt.of(card, found.policy, found.goal, found.promised, tables, plains, risk)


def _show_receipt(receipt: Receipt, reasons: str) -> None:
    st.html(
        section("Receipt")
        + f'<div class="ee-receipt" data-kept="{receipt.kept}">{facts(receipt.rows)}</div>'
    )
    if reasons:
        st.caption(reasons)
    save_button(
        "Save the receipt",
        receipt.to_markdown(),
        f"{receipt.model}-receipt.md",
        width="stretch",
        help="All of this as a text, with the lines that use the thresholds.",
    )


def _drop(card: Card, view: state.View) -> Find:
    points = st.slider(
        "Lose at most, against the plain network",
        0.0,
        MOST_POINTS,
        1.0,
        0.1,
        format="%.1f points",
        key="drop",
        help="Of accuracy, on new images like these.",
    )
    percent = st.select_slider(
        "Confidence",
        _CONFIDENCES,
        90,
        key="confidence",
        format_func=lambda percent: f"{percent} %" if percent else "optimistic",
        help="How sure the limit has to be on new images. The surer, the less "
        "compute is saved. **Optimistic** guarantees nothing: the cheapest thresholds that lose no "
        "more on the calibration images themselves, which usually lose more on new ones.",
    )
    score = score_choice(card, "drop-score", history=True)
    max_drop, temperatures = points / 100, view.policy.temperatures

    if percent and st.button("How many images?", icon=":material/help:", width="stretch"):
        _how_many(view, score, max_drop, percent / 100)

    def optimistic() -> Found:
        fronts = [resources.front_of(view.model, name, temperatures) for name in score.criteria]
        reference = card.reference_accuracy("calibration")
        return Found(cheapest_within_drop(fronts, reference, max_drop), Goal("max_drop", max_drop))

    def proven() -> Found:
        confidence = percent / 100
        found = resources.promised(view.model, score.criteria, temperatures, max_drop, confidence)
        question = ("drop", score, temperatures, max_drop, confidence)
        against = PLAIN if found.against_plain else LAST_EXIT
        measured = (
            f"Measured on them, image by image against {against}: {text.apart(-found.drop)} "
            f"points. Proven: {text.apart(-found.bound)} points at worst."
        )
        premise = score.premise(found.policy, found.path_samples)
        earlier = with_earlier(view.model, question, confidence)
        goal = Goal("max_drop", max_drop, against, confidence)
        return Found(found.policy, goal, found.guarantee, f"{measured} {premise} {earlier}")

    return proven if percent else optimistic


@st.dialog("How many images do I need?", width="large")
def _how_many(view: state.View, score: Score, max_drop: float, confidence: float) -> None:
    """Show how likely calibration splits of several sizes are to prove a target."""
    with sentences():
        found = resources.images_needed(
            view.model, score.criteria, view.policy.temperatures, max_drop, confidence
        )
        st.markdown(found.sentence)
        at_hand = len(resources.table_on(view.model, "calibration"))
        plotly.show(
            exits.proofs(found.samples, found.chance, at_hand),
            "proofs",
            "How likely the target is to be proven, by number of calibration images",
        )
        st.caption(
            "An estimate by simulation, no guarantee: sets of every size were drawn 100 times from "
            "the calibration images that prove, and this proof was tried on each. A quarter of "
            "a set lays the path of thresholds, the rest proves. The dotted line: the "
            f"{at_hand:,} images at hand."
        )


def _budget(card: Card, view: state.View) -> Find:
    percent = st.slider(
        "Spend at most, of the plain network's compute",
        1,
        MOST_COST,
        50,
        format="%d %%",
        key="budget",
        help="Mean multiply-accumulates per image, heads included.",
    )
    scores = view.policy.criterion, view.policy.temperatures
    return lambda: Found(
        best_within_cost([resources.front_of(view.model, *scores)], percent / 100),
        Goal("max_cost", percent / 100),
    )


def _validated(card: Card, view: state.View) -> Find:
    percent = st.slider(
        "Leave where images with such a score were right in",
        50.0,
        100.0,
        98.0,
        0.5,
        format="%.1f %%",
        key="validated",
        help="The same at every exit, whatever its scores mean: calibration images with a similar "
        "score were right at least so often (a method called PCEE). An exit that never reaches it "
        "is off.",
    )
    criterion, temperatures = view.policy.criterion, view.policy.temperatures

    def find() -> Found:
        table = calibrated(resources.table_on(view.model, "calibration"), temperatures)
        policy = validated_thresholds(table, criterion, percent / 100)
        found = replace(policy, temperatures=temperatures)
        return Found(found, Goal("min_accuracy", percent / 100))

    return find


def _guarantee(card: Card, view: state.View) -> Find:
    described = {one.title: one.description for one in RISKS.values()}
    described[SELECTIVE_TITLE] = (
        "Of those that leave at an exit, the part answered wrongly, at every early exit."
    )
    risk = st.selectbox(
        "Risk",
        [*RISKS, SELECTIVE],
        key="risk",
        format_func=lambda name: RISKS[name].title if name in RISKS else SELECTIVE_TITLE,
        help="  \n".join(f"**{title}**: {what}" for title, what in described.items()),
    )
    level = st.slider(
        "At most",
        0.1,
        10.0,
        1.0,
        0.1,
        format="%.1f %%",
        key="epsilon",
        help="What the risk may be on new images like these, compared with the full network.",
    )
    certainty = st.slider(
        "With a probability of",
        50,
        99,
        90,
        format="%d %%",
        key="certainty",
        help="How likely the guarantee has to hold: the higher, the less compute is saved.",
    )

    score = score_choice(card, "guarantee-score", history=False, best=risk != SELECTIVE)
    epsilon, confidence, temperatures = level / 100, certainty / 100, view.policy.temperatures

    def find() -> Found:
        found: Controlled | Selective
        if risk == SELECTIVE:
            (criterion,) = score.criteria
            found = resources.selective(
                view.model, criterion, temperatures, epsilon, 1 - confidence
            )
        else:
            found = resources.guaranteed(
                view.model, score.criteria, temperatures, epsilon, 1 - confidence, risk
            )
        question = (risk, score, temperatures, epsilon, confidence)
        premise = score.premise(found.policy, found.path_samples)
        earlier = with_earlier(view.model, question, confidence)
        title = RISKS[risk].title if risk in RISKS else SELECTIVE_TITLE
        goal = Goal("max_risk", epsilon, confidence=confidence, risk=title)
        return Found(found.policy, goal, found.guarantee, f"{premise} {earlier}", risk)

    return find


def _keeping(card: Card, view: state.View) -> None:
    st.html(section("Keep the thresholds"))
    save_button(
        "Save as JSON",
        json.dumps(_saved(card, view), indent=2),
        f"{card.name}-policy.json",
        width="stretch",
        help=f"For `python -m core evaluate {card.name} --policy FILE`.",
    )
    copy_link(
        view.to_query() | own_query(view.model),
        "Opens this page with the same model, criterion and thresholds.",
    )
    with st.popover("Load from a file", icon=":material/upload:", width="stretch"):
        file = st.file_uploader(
            "A policy in JSON", type="json", key="policy-file", max_upload_size=1
        )
        if file is not None and st.session_state.get("policy-read") != file.file_id:
            with sentences():
                policy = Policy.from_json(file.getvalue(), file.name)
                _check(policy, card)
                if not _whose(json.loads(file.getvalue()), file.name, card):
                    return
                st.session_state["policy-read"] = file.file_id
                state.choose_policy(policy)
                st.rerun()


def _whose(value: Any, name: str, card: Card) -> bool:
    """Return whether a policy may be used: one of this network, or the visitor insists."""
    try:
        check_receipt(value, name, card)
    except UserError as error:
        if not st.toggle("Use them all the same", key="insists"):
            show_mistake(str(error))
            return False
    return True


def _saved(card: Card, view: state.View) -> dict[str, Any]:
    """Return what is saved: the policy, with its receipt if it was found here, and whose it is."""
    _, receipt = st.session_state.get(_FOUND, (None, None))
    if receipt is not None and (receipt.policy, receipt.sha256) == (view.policy, card.sha256):
        saved: dict[str, Any] = receipt.to_dict()
        return saved
    return view.policy.to_dict() | {RECEIPT: {"model": card.name, "sha256": card.sha256}}


def _check(policy: Policy, card: Card) -> None:
    policy.check(card.num_exits)
    if policy.criterion not in card.criteria:
        raise UserError(
            f"expected a criterion of {card.title}, one of {', '.join(card.criteria)}, but got "
            f"'{policy.criterion}'; choose another model or file."
        )


_COLUMNS = {
    "accuracy_of_left": Column(
        "Accuracy of those that stop here", "Accuracy of the images that leave here."
    ),
    "accuracy": Column(
        "Accuracy if every image stopped here", "Accuracy of this exit over the whole split."
    ),
    "agreement": Column(
        "Agrees with last",
        "How often this exit gives the last exit's answer, right or wrong, over the whole split.",
    ),
    "cost": Column(
        "Cost to here",
        "MACs up to this exit, the heads in use included, in units of the plain network.",
    ),
    "auroc": Column(
        "Tells right from wrong (AUROC)",
        "Probability that a right answer scores higher than a wrong one; 0.5 is a coin toss.",
    ),
    "calibration_error": Column(
        "Calibration error",
        "How far the answer's probability is from how often it is right, on average (15 bins).",
    ),
}
"""By the names under which `live.js` finds their cells."""


def _per_exit(card: Card, policy: Policy, table: ExitTable, report: Report) -> str:
    costs = table.costs.at_exits(policy.enabled)

    def row(name: str, title: str, share: float, figures: dict[str, str], kind: str = "") -> Row:
        bar = f'<span class="ee-share"><i style="width:{share:.2%}"></i></span>'
        cells = [
            Cell(figures.get(column, text.MISSING), f'data-cell="{column}"') for column in _COLUMNS
        ]
        share_cell = Cell(f"{bar}<b>{text.percent(share)}</b>")
        return Row([title, share_cell, *cells], f'data-row="{name}" {kind}')

    rows = [
        row(
            str(index),
            name,
            report.exit_share[index],
            {
                "accuracy_of_left": text.percent(report.accuracy_of_left[index], 2),
                "accuracy": text.percent(report.per_exit_accuracy[index], 2),
                "agreement": text.percent(report.per_exit_agreement[index]),
                "cost": text.percent(float(costs[index])),
                "auroc": text.three(report.auroc[index]),
                "calibration_error": text.percent(report.calibration_error[index]),
            },
            "" if index == card.num_exits - 1 or policy.enabled[index] else 'class="ee-off"',
        )
        for index, name in enumerate(text.exit_names(card.num_exits))
    ]
    together = {
        "accuracy_of_left": text.percent(report.accuracy, 2),
        "cost": text.percent(report.relative_cost),
    }
    columns = [
        Column("Exit"),
        Column("Leave here", "Part of all images that leaves at this exit."),
        *_COLUMNS.values(),
    ]
    return html_table(columns, [*rows, row("all", "All together", 1.0, together, TOTAL)])
