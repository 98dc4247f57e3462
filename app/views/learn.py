"""Learn: six short steps, each with a figure to play with and something to try."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app import resources, state, text
from app.challenge import challenge
from app.charts import exits, plotly
from app.components.errors import sentences
from app.components.html import Column, Reading, Row, heading, readings, section
from app.components.html import table as html_table
from app.components.journey import journey
from app.components.model_choice import choices, split_note
from app.components.picture_choice import one_picture
from app.components.saliency import exit_by_exit, show_top_classes
from app.components.threshold_charts import (
    curve,
    histograms,
    live_split,
    report_readings,
    save_curve,
    save_histograms,
    sure,
)
from app.components.widgets import bound
from app.state import Settings, parameter, whole
from core.exits.criteria import CRITERIA
from core.exits.report import Report
from core.hub.card import Card
from core.tuning.guarantee import DELTA
from core.tuning.naive import broken

SIZES = (200, 500, 1000)


@dataclass(frozen=True)
class Step:
    """One step: its title, its text, its figure, and what to try."""

    title: str
    body: str
    figure: Callable[[Card, state.View], None]
    attempt: str


@dataclass(frozen=True)
class Place:
    """Where a visitor is: the step, counted from 1."""

    step: int = parameter("step", 1, whole(1, 6))


PLACE = Settings("place", Place)


def page() -> None:
    """Show the page."""
    heading("Learn", "Early exits in six short steps, each with something to play with.")
    card = choices()
    if card.num_exits == 1:
        st.info(
            f"{card.title} has no early exits: choose a model that has, above.",
            icon=":material/school:",
        )
        state.write_url()
        return
    split_note(state.view().model)
    number = PLACE.now.step
    bound(
        st.segmented_control,
        "Step",
        range(1, len(STEPS) + 1),
        key="step",
        value=number,
        choose=_go,
        required=True,
        label_visibility="collapsed",
        format_func=lambda number: f"{number}. {STEPS[number - 1].title}",
    )
    step = STEPS[number - 1]
    st.html(f'<div class="ee-lesson"><h2>{number}. {step.title}</h2><p>{step.body}</p></div>')
    step.figure(card, state.view())
    st.html(f'<p class="ee-attempt"><b>Try it.</b> {step.attempt}</p>')
    with st.container(horizontal=True):
        st.button(
            "Back",
            icon=":material/arrow_back:",
            disabled=number == 1,
            on_click=_go,
            args=(number - 1,),
            key="learn-back",
        )
        st.button(
            "Next",
            icon=":material/arrow_forward:",
            type="primary",
            disabled=number == len(STEPS),
            on_click=_go,
            args=(number + 1,),
            key="learn-next",
        )
    state.write_url(PLACE.to_query())


def _go(step: int) -> None:
    PLACE.change(step=step)


def _why(card: Card, view: state.View) -> None:
    table = resources.shown_table(view.model)
    costs, accuracies = table.costs.alone(), table.accuracy_per_exit
    plotly.show(
        exits.cost_beside_accuracy(text.exit_names(card.num_exits), costs, accuracies),
        "why",
        "Compute up to each exit, beside the part of all images it answers rightly",
    )


def _watch(card: Card, view: state.View) -> None:
    chosen = one_picture(card)
    if chosen is None:
        _no_images(card)
    else:
        journey(card, *chosen, within=True)


def _no_images(card: Card) -> None:
    st.info(
        f"No images of {text.dataset(card.dataset)} ship, and the data set is not on this machine.",
        icon=":material/image:",
    )


def _what(card: Card, view: state.View) -> None:
    samples = resources.examples(card)
    if samples is None:
        _no_images(card)
        return
    table = resources.table_of(view.model, samples.images)
    agree = (table.answers == table.answers[:, -1:]).all(axis=1)
    number = min(view.sample, len(samples) - 1)
    with st.container(horizontal=True):
        _walk(
            f"Show one on which exits disagree ({int((~agree).sum()):,} of {len(samples):,})",
            "call_split",
            np.flatnonzero(~agree).tolist(),
            number,
        )
        _walk("Show one on which they agree", "done_all", np.flatnonzero(agree).tolist(), number)
    truth = card.classes[int(samples.labels[number])]
    st.html(
        section(f"Sample {number + 1:,}: {truth}", "What each exit saw, and what it considered.")
    )
    exit_by_exit(
        card,
        view.model,
        samples.images[number],
        table,
        number,
        "grad_cam",
        left_at=card.num_exits,
        tools=False,
    )
    show_top_classes(card, table, number, top=3, left_at=card.num_exits)


def _walk(title: str, icon: str, among: list[int], number: int) -> None:
    if among:
        following = next((index for index in among if index > number), among[0])
        st.button(
            title,
            icon=f":material/{icon}:",
            on_click=state.change,
            kwargs={"sample": following},
            help="The next such sample.",
        )


def _when(card: Card, view: state.View) -> None:
    table = resources.shown_table(view.model)
    before = _readings(card, view) + histograms(card, view.policy, table)
    live_split(card, view, table, before, "", key="learn-when")
    save_histograms(card, view.policy, table, resources.shown_split(view.model), "learn-when")


def _how_much(card: Card, view: state.View) -> None:
    table = resources.shown_table(view.model)
    chart, moving = curve(card, view, table, _report(view))
    live_split(card, view, table, _readings(card, view) + chart, "", "learn-curve", **moving)
    save_curve(card, moving["front"], resources.shown_split(view.model), "learn-curve")
    _challenge(card, view)


def _challenge(card: Card, view: state.View) -> None:
    found = challenge(card, view)
    if found is None:
        return
    limit = text.percent(found.limit, 0)
    st.html(
        section(
            "Beat the line",
            f"More right answers than the line, for at most {limit} of the compute: set thresholds "
            "by hand. What counts is where you let go.",
        )
    )
    items = [("own", "Your best", found.own), ("room", "Best of all visitors", found.room)]
    st.html(
        readings(
            [
                Reading("line", "The line", text.percent(found.line, 2), f"at {limit} or less"),
                *(
                    Reading(
                        name,
                        title,
                        text.MISSING if best is None else text.percent(best, 2),
                        "no thresholds within the limit yet"
                        if best is None
                        else f"{text.apart(best - found.line)} points",
                        strong=best is not None and best > found.line,
                    )
                    for name, title, best in items
                ),
            ]
        )
    )


def _readings(card: Card, view: state.View) -> str:
    return readings(report_readings(card, view, _report(view))) + sure(view)


def _report(view: state.View) -> Report:
    return resources.report_on(view.model, resources.shown_split(view.model), view.policy)


def _guarantee(card: Card, view: state.View) -> None:
    level, size = st.columns(2, gap="large")
    with level:
        epsilon = st.slider(
            "Accuracy that may be lost",
            0.2,
            5.0,
            1.0,
            0.2,
            format="%.1f points",
            key="learn-epsilon",
            help="Against the full network, on new images like these.",
        )
    with size:
        samples = st.select_slider(
            "Calibration images",
            SIZES,
            500,
            key="learn-samples",
            help="How many labelled images the thresholds are chosen on.",
        )
    criterion = view.policy.criterion
    if CRITERIA[criterion].history:
        criterion = "max_probability"
        st.caption(
            f"{CRITERIA[view.policy.criterion].title} looks back at earlier exits, and nothing can "
            f"be proven about that; here {CRITERIA[criterion].title.lower()} decides."
        )
    with sentences():
        allowed = epsilon / 100
        trials = resources.simulated(view.model, criterion, allowed, samples)
        naive_drops, naive_costs = resources.naive_choices(view.model, samples, allowed)
        st.html(
            readings(
                [
                    Reading(
                        "naive",
                        "Looks good on calibration",
                        text.percent(broken(naive_drops, allowed), 0),
                        "of the naive choices lose more than allowed",
                    ),
                    Reading(
                        "proven",
                        "Proven on calibration",
                        text.percent(trials.violation_rate, 0),
                        "of the guarantees broken; 10 % would be allowed",
                        strong=True,
                    ),
                    Reading(
                        "price",
                        "Compute with a proof",
                        text.percent(float(trials.relative_cost.mean())),
                        f"of the compute, instead of {text.percent(float(naive_costs.mean()))}",
                    ),
                ]
            )
        )
        plotly.show(
            exits.risks(naive_drops, trials.risk, trials.epsilon),
            "risks",
            "True risk of naive and of proven thresholds over many calibration sets",
        )
    with sentences():
        _of_those_who_leave(card, view, criterion, allowed)


def _of_those_who_leave(card: Card, view: state.View, criterion: str, allowed: float) -> None:
    proven = resources.selective(view.model, criterion, None, allowed, DELTA)
    found = resources.report_on(view.model, resources.shown_split(view.model), proven.policy)
    limit = text.percent(allowed)
    st.html(
        section(
            "Another guarantee: errors of those that leave",
            f"At every early exit, at most {limit} of the images that leave there are answered "
            f"wrongly, with a probability of {text.percent(1 - DELTA, 0)}. Below: what the proven "
            "thresholds do on new images.",
        )
    )
    if not proven.leaves_early:
        st.caption(f"No early exit is that reliable here: allow more than {limit}.")
        return
    columns = [
        Column("Exit"),
        Column("Leave here"),
        Column("Wrong answers among them"),
        Column("Allowed"),
    ]
    rows = [
        Row(
            [
                name,
                text.percent(found.exit_share[index]),
                text.percent(1 - found.accuracy_of_left[index], 2),
                limit,
            ]
        )
        for index, name in enumerate(text.exit_names(card.num_exits)[:-1])
    ]
    st.html(html_table(columns, rows))


STEPS = (
    Step(
        "Why stop early",
        "A network computes as much for an easy image as for a hard one. With exits at several "
        "depths, most images are answered rightly long before the end: the bars show how much has "
        "been computed at each exit, and how many images it already gets right.",
        _why,
        "Choose another model above. On digits the first exit is nearly as good as the last; on "
        "photographs each exit adds something.",
    ),
    Step(
        "Watch one go",
        "An image runs through one stage after the other. After each, an exit says what it sees "
        "and how sure it is, from 0 to 1. Above a threshold (the orange mark) the gate opens and "
        "the image leaves; the stages behind are never run.",
        _watch,
        "Where will it leave? Choose an exit before the image sets out, then press N for the next. "
        "After some you will know what this network finds easy.",
    ),
    Step(
        "What an exit sees",
        "An exit is a small head: it turns the features so far into an answer. Early features are "
        "strokes and colours, late ones are parts of objects, so exits look at different places "
        "and do not always agree.",
        _what,
        "Look for images on which the exits disagree. Would you have known better?",
    ),
    Step(
        "How sure it is",
        "Each exit also says how sure it is, as a score from 0 to 1. An image whose score "
        "is above the threshold leaves. A good score puts the right answers (upwards) to the right "
        "and the wrong ones (downwards) to the left of some line.",
        _when,
        "Drag a line, and see how many answers are rescued and how many are ruined. Then change "
        "the criterion above: which one separates best?",
    ),
    Step(
        "Accuracy and compute",
        "Every choice of thresholds is one point: how much is computed on average, and how many "
        "answers are right. The line joins the best choices there are; the star is the network "
        "without early exits.",
        _how_much,
        "Click along the line, and find the point beyond which more compute buys nothing. Then "
        "move a threshold by hand: can you get above the line?",
    ),
    Step(
        "Guarantees",
        "Thresholds that look good on some images may be lucky. Here they are chosen many times, "
        "each time on other images, and then measured on all of them. Naively: of millions of "
        "thresholds and of all scores, the cheapest that lose no more than allowed on the images "
        "at hand. Or proven: along a path of thresholds that was laid on other images, for one "
        "score, as far as a test allows.",
        _guarantee,
        "Take fewer calibration images: the naive choice loses more than allowed more often, the "
        "proven one saves less instead. On the page Thresholds, <i>Guarantee</i> does this.",
    ),
)
