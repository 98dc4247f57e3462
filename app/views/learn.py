"""Learn: five short steps, each with a figure to play with and something to try."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app import resources, state, text
from app.charts import plotly
from app.components import model_choice
from app.components.errors import sentences
from app.components.pictures import data_uri, heat
from app.components.readout import Reading, readout, saving, standing
from app.components.saliency import Look, looks, top_classes
from app.components.style import heading, section
from app.components.threshold_charts import MACS, curve, histograms, split
from core.data.prepared import ImageSet
from core.exits.criteria import CRITERIA
from core.exits.report import Report, evaluate
from core.exits.table import ExitTable
from core.hub.card import Card

_STEP = "step"


@dataclass(frozen=True)
class Step:
    """One step: what it is called, what it says, its figure, and what to try."""

    title: str
    says: str
    figure: Callable[[Card, state.View], None]
    attempt: str


def page() -> None:
    """Show the page."""
    heading("Learn", "Early exits in five short steps, each with something to play with.")
    card = model_choice.choices()
    if card.num_exits == 1:
        st.info(
            f"{card.title} has no early exits: choose a model that has, above.",
            icon=":material/school:",
        )
        state.write_url()
        return
    number = _step_number()
    st.segmented_control(
        "Step",
        range(len(STEPS)),
        key=_STEP,
        required=True,
        label_visibility="collapsed",
        format_func=lambda index: f"{index + 1}. {STEPS[index].title}",
    )
    step = STEPS[number]
    st.html(f'<div class="ee-lesson"><h2>{number + 1}. {step.title}</h2><p>{step.says}</p></div>')
    step.figure(card, state.view())
    st.html(f'<p class="ee-attempt"><b>Try it.</b> {step.attempt}</p>')
    _walk(number)
    state.write_url({_STEP: str(number + 1)} if number else {})


def _step_number() -> int:
    if st.session_state.get(_STEP) not in range(len(STEPS)):
        asked = st.query_params.get(_STEP, "1")
        inside = asked.isascii() and asked.isdigit() and 1 <= int(asked[:3]) <= len(STEPS)
        st.session_state[_STEP] = int(asked[:3]) - 1 if inside else 0
    return int(st.session_state[_STEP])


def _walk(number: int) -> None:
    def go(to: int) -> None:
        st.session_state[_STEP] = to

    with st.container(horizontal=True):
        st.button(
            "Back",
            icon=":material/arrow_back:",
            disabled=number == 0,
            on_click=go,
            args=(number - 1,),
            key="learn-back",
        )
        st.button(
            "Next",
            icon=":material/arrow_forward:",
            type="primary",
            disabled=number == len(STEPS) - 1,
            on_click=go,
            args=(number + 1,),
            key="learn-next",
        )


def _why(card: Card, view: state.View) -> None:
    table = resources.tables(view.model)["test"]
    costs, accuracies = table.costs.alone(), table.accuracy_per_exit
    names = [text.exit_name(index, card.num_exits) for index in range(card.num_exits)]
    st.plotly_chart(
        plotly.cost_beside_accuracy(names, costs, accuracies),
        key="why",
        config=plotly.CONFIG,
        alt="Compute up to each exit, beside the part of all images it answers rightly",
    )


def _what(card: Card, view: state.View) -> None:
    samples = resources.examples(card)
    if samples is None:
        st.info(
            f"No images of {text.dataset(card.dataset)} ship, and the data set is not on this "
            "machine.",
            icon=":material/image:",
        )
        return
    table = resources.asked_all(view.model, samples.images)
    odd = np.flatnonzero((table.answers != table.answers[:, -1:]).any(axis=1)).tolist()
    number = min(view.sample, len(samples) - 1)
    with st.container(horizontal=True):
        if odd:
            following = next((index for index in odd if index > number), odd[0])
            st.button(
                f"Show one on which exits disagree ({len(odd):,} of {len(samples):,})",
                icon=":material/call_split:",
                on_click=state.choose_sample,
                args=(following,),
                help="Another of the sample images that not all exits answer alike.",
            )
        agreed = np.flatnonzero((table.answers == table.answers[:, -1:]).all(axis=1)).tolist()
        if agreed:
            following = next((index for index in agreed if index > number), agreed[0])
            st.button(
                "Show one on which they agree",
                icon=":material/done_all:",
                on_click=state.choose_sample,
                args=(following,),
            )
    items = _looks(card, view, samples, number, table)
    truth = card.classes[int(samples.labels[number])]
    st.html(
        section(f"Sample {number + 1:,}: {truth}", "What each exit saw, and what it considered.")
    )
    looks(items, 0.8)
    top_classes(items)


def _looks(
    card: Card, view: state.View, samples: ImageSet, number: int, table: ExitTable
) -> list[Look]:
    pixels = samples.images[number]
    items = []
    for index in range(card.num_exits):
        answer = int(table.answers[number, index])
        probabilities = table.probabilities[number, index]
        likeliest = (-probabilities).argsort(kind="stable")[:3]
        veil = heat(resources.looked_at(view.model, pixels, index, answer, "grad_cam"))
        items.append(
            Look(
                name=text.exit_name(index, card.num_exits),
                image=data_uri(pixels),
                veil=data_uri(veil),
                answer=card.classes[answer],
                top=[(card.classes[one], float(probabilities[one])) for one in likeliest],
                reached=True,
            )
        )
    return items


def _when(card: Card, view: state.View) -> None:
    table = resources.tables(view.model)["test"]
    report = evaluate(table, view.policy)
    before = readout(_readings(card, report)) + histograms(card, view.policy, table)
    split(card, view, table, before, "", key="learn-when")


def _how_much(card: Card, view: state.View) -> None:
    table = resources.tables(view.model)["test"]
    report = evaluate(table, view.policy)
    chart, moving = curve(card, view, table, report)
    split(card, view, table, readout(_readings(card, report)) + chart, "", "learn-curve", **moving)


def _readings(card: Card, report: Report) -> list[Reading]:
    accuracy = text.percent(report.accuracy, 2)
    reference = text.percent(card.reference_accuracy("test"), 2)
    yardstick = "plain network" if card.plain else "last exit"
    return [
        saving(card, report.relative_cost, MACS),
        Reading("accuracy", "Accuracy", accuracy, f"{yardstick} {reference}"),
        Reading("rescued", "Rescued", f"{report.rescued:,}", "right early, wrong at the last exit"),
        Reading("ruined", "Ruined", f"{report.ruined:,}", "wrong early, right at the last exit"),
    ]


def _promise(card: Card, view: state.View) -> None:
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
        found = resources.rehearsed(view.model, criterion, epsilon / 100, samples)
        st.html(
            standing(
                [
                    Reading(
                        "naive",
                        "Looks good on calibration",
                        text.percent(found.naive_broken, 0),
                        "of the promises broken, naively",
                    ),
                    Reading(
                        "proven",
                        "Proven on calibration",
                        text.percent(found.broken, 0),
                        "of the promises broken; 10 % would be allowed",
                        strong=True,
                    ),
                    Reading(
                        "price",
                        "The price of certainty",
                        text.percent(float(found.relative_cost.mean())),
                        f"of the compute, instead of "
                        f"{text.percent(float(found.naive_cost.mean()))}",
                    ),
                ]
            )
        )
        st.plotly_chart(
            plotly.rehearsal(found.naive_risk, found.risk, found.epsilon),
            key="rehearsal",
            config=plotly.CONFIG,
            alt="True risk of naive and of proven thresholds over many calibration sets",
        )


SIZES = (200, 500, 1000, 2000)

STEPS = (
    Step(
        "Why stop early",
        "A network computes as much for an easy image as for a hard one. Ask it at several depths, "
        "and most images are answered rightly long before the end: the bars show how much has "
        "been computed at each exit, and how many images it already gets right.",
        _why,
        "Choose another model above. On digits the first exit is nearly as good as the last; on "
        "photographs each exit adds something.",
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
        "Confidence and threshold",
        "Each exit also says how sure it is, as a score from 0 to 1. Whoever scores above the "
        "threshold leaves. A good score puts the right answers (upwards) to the right and the "
        "wrong ones (downwards) to the left of some line.",
        _when,
        "Drag a line, and see how many answers are rescued and how many are ruined. Then change "
        "the criterion above: which one separates best?",
    ),
    Step(
        "Accuracy against compute",
        "Every choice of thresholds is one point: how much is computed on average, and how many "
        "answers are right. The line joins the best choices there are; the star is the network "
        "without early exits.",
        _how_much,
        "Click along the line, and find the point beyond which more compute buys nothing. Then "
        "move a threshold by hand: can you get above the line?",
    ),
    Step(
        "Promising an error rate",
        "Thresholds that look good on some images may be lucky. Here they are chosen 200 times on "
        "other images, once naively and once so that the loss is proven, and then measured on all "
        "of them. A promise is broken when more is lost than was allowed.",
        _promise,
        "Take fewer calibration images: the naive choice breaks its promise more often, and the "
        "proven one becomes careful instead. On the page Thresholds, <i>Promise</i> does this for "
        "you.",
    ),
)
