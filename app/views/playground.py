"""Playground: one image on its way through the network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

import numpy as np
import streamlit as st

from app import resources, state, text
from app.charts import exits, plotly
from app.charts.network import Rung, ladder, rungs_of
from app.components import remaining_classes
from app.components.background import rerun_when_done
from app.components.counterfactuals import what_would_change
from app.components.html import Reading, heading, readings, saving, section, why
from app.components.live import STAGES, live, table_here
from app.components.model_choice import choices
from app.components.neighbours import neighbours
from app.components.picture_choice import ELSEWHERE, blackboard, corrupted, pictures
from app.components.pictures import Picture, picture_card, thumbnail
from app.components.saliency import exit_by_exit, show_top_classes
from app.components.save_chart import save_chart
from app.components.widgets import bound, save_button
from app.wall_times import WallTime
from core.analysis.corruptions import CORRUPTIONS
from core.exits.criteria import CRITERIA
from core.exits.routing import Routing, route
from core.foundation.files import csv_text, no_formula
from core.foundation.jobs import Job
from core.hub.card import Card

TOP = 5
SEVERITIES = np.linspace(0, 1, 21).tolist()
_AS_IT_IS = "nothing"
_SEVERITY_AT_FIRST = 0.3
_MACS = "{spent} of {whole} multiply-adds (MACs)"


def page() -> None:
    """Show the page."""
    heading(
        "Playground",
        "Send one image through the network, and see where it is sure enough to stop.",
    )
    card = choices()
    view = state.view()
    image, beside = st.columns([1, 4.2], gap="medium")
    with beside:
        choice = pictures(card)
    with image:
        drawing = blackboard(card)
    if choice is None:
        with beside:
            st.info(
                f"No images of {text.dataset(card.dataset)} ship, and the data set is not on "
                "this machine: upload a picture to begin.",
                icon=":material/upload:",
            )
        state.write_url(ELSEWHERE.to_query())
        return
    shown, number = choice.pictures, choice.chosen
    picture = replace(shown[number], pixels=corrupted(shown[number].pixels, view))
    with image:
        picture_card(picture, card.classes, small=drawing)
        hint = st.empty()
        if not drawing:
            _known_classes(card)
        _corruption(view)
    routing = route(resources.table_of(view.model, picture.pixels[None]), view.policy)
    with beside:
        _ladder(card, view, picture, routing)
    unlike = resources.unlike(view.model, shown[number].pixels) if picture.strange else None
    if unlike is not None:
        hint.html(f'<p class="ee-warning">⚠ {escape(unlike)}</p>')
    choice.show_others()
    _remaining_classes(card, routing)
    if view.corruption and card.num_exits > 1:
        _severities(card, view, shown[number])
    _insight(card, view, picture, routing)
    if card.num_exits > 1:
        what_would_change(card, view, shown[number])
    neighbours(card, view, routing, picture.pixels)
    if len(shown) > 1:
        _all_images(card, view, shown)
    state.write_url(ELSEWHERE.to_query())


def _known_classes(card: Card) -> None:
    names = ", ".join(map(escape, card.classes))
    st.html(
        '<div class="ee-knows">'
        + why(
            f"Knows {len(card.classes)} classes",
            f"This network answers with one of these, whatever a picture shows: {names}.",
        )
        + "</div>"
    )


def _corruption(view: state.View) -> None:
    def choose(name: str) -> None:
        severity = view.severity or _SEVERITY_AT_FIRST
        state.change(corruption="" if name == _AS_IT_IS else name, severity=severity)

    bound(
        st.segmented_control,
        "Corruption",
        [_AS_IT_IS, *CORRUPTIONS],
        key="corruption",
        value=view.corruption or _AS_IT_IS,
        choose=choose,
        required=True,
        wrap=True,
        format_func=lambda name: CORRUPTIONS[name].title if name in CORRUPTIONS else "None",
        help="Harder images leave later. "
        + " ".join(f"**{one.title}**: {one.description}" for one in CORRUPTIONS.values()),
    )
    if view.corruption:
        bound(
            st.slider,
            "Severity",
            0,
            100,
            key="severity",
            value=round(100 * view.severity),
            choose=lambda percent: state.change(severity=percent / 100),
            format="%d %%",
            help=CORRUPTIONS[view.corruption].description,
        )


def _severities(card: Card, view: state.View, picture: Picture) -> None:
    images = np.stack([corrupted(picture.pixels, view, severity) for severity in SEVERITIES])
    routing = route(resources.table_of(view.model, images), view.policy)
    st.html(
        section(
            f"How much {CORRUPTIONS[view.corruption].title.lower()} it takes",
            f"{CRITERIA[view.policy.criterion].title} at every early exit as the image gets "
            "worse. Large dots: where it leaves.",
        )
    )
    plotly.show(
        exits.severity(
            SEVERITIES,
            routing.early_scores,
            routing.exits,
            text.exit_names(card.num_exits),
            view.severity,
        ),
        "severities",
        "Score at each early exit against the severity of the corruption",
    )


def _all_images(card: Card, view: state.View, shown: Sequence[Picture]) -> None:
    images = np.stack([corrupted(one.pixels, view) for one in shown])
    routing = route(resources.table_of(view.model, images), view.policy)
    rows = [
        {
            "image": thumbnail(images[index]),
            "name": no_formula(one.name),
            "answer": no_formula(card.classes[routing.answers[index]]),
            "probability": float(routing.probabilities[index]),
            "leaves at": text.exit_name(int(routing.exits[index]), card.num_exits),
            "relative cost": float(routing.costs[index]),
        }
        for index, one in enumerate(shown)
    ]
    st.html(section("All your images", f"{text.plural(len(rows), 'image')}."))
    share = st.column_config.NumberColumn(format="percent")
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            "image": st.column_config.ImageColumn("image", width="small"),
            "probability": share,
            "relative cost": share,
        },
    )
    fields = [name for name in rows[0] if name != "image"]
    content = csv_text(fields, [[row[name] for row in rows] for name in fields])
    save_button("Save as CSV", content, f"{card.name}-images.csv")


def _ladder(card: Card, view: state.View, picture: Picture, routing: Routing) -> None:
    policy, table = view.policy, routing.table
    exit_index = int(routing.exits[0])
    labels = routing.exit_answers[0].tolist()
    answers = [_answer(card, picture, label, index) for index, label in enumerate(labels)]
    rungs = rungs_of(
        card,
        policy,
        routing.early_scores[0],
        [
            (label, float(table.probabilities[0, index, label]))
            for index, label in enumerate(labels)
        ],
        [None if picture.label is None else label == picture.label for label in labels],
    )
    timing = resources.wall_time(view.model, picture.pixels, policy, exit_index)
    live(
        readings(_readings(card, routing, answers[exit_index], timing))
        + ladder(rungs, exit_index, CRITERIA[policy.criterion].title),
        "",
        table_here(table, policy),
        card,
        policy,
        state.choose_policy,
        macs=_MACS,
        columns=card.num_exits,
        key="ladder",
        answers=answers,
        leaves=exit_index,
    )
    save_chart(
        ".st-key-ladder .ee-ladder",
        f"{card.title} on {picture.name}: {CRITERIA[policy.criterion].title.lower()} at each exit",
        "exits",
        _rungs_csv(card, rungs, exit_index),
    )
    rerun_when_done(timing)


def _rungs_csv(card: Card, rungs: Sequence[Rung], left_at: int) -> str:
    header = ("exit", "answer", "probability", "score", "threshold", "reached")
    rows = [
        (one.name, one.answer, one.probability, one.score, one.threshold, index <= left_at)
        for index, one in enumerate(rungs)
    ]
    return csv_text(header, zip(*rows, strict=True))


def _remaining_classes(card: Card, routing: Routing) -> None:
    left = routing.possible_classes
    if left is None:
        return
    names = text.exit_names(card.num_exits)
    shown = [index for index, on in enumerate(routing.policy.enabled) if on]
    st.html(
        section(
            "Which classes are left",
            "Each exit rules out classes (✕); an image leaves when one is left. Percent: what the "
            "exit gives to those that are. Faded exits were never reached.",
        )
        + remaining_classes.of_one_image(
            card.classes,
            [names[index] for index in shown],
            left[0, shown].tolist(),
            routing.table.probabilities[0, shown].tolist(),
            [index <= routing.exits[0] for index in shown],
        )
    )


def _answer(card: Card, picture: Picture, answer: int, index: int) -> dict[str, str]:
    """Return what the readings show when the image leaves at an exit."""
    tone, truth = "", "no label: right or wrong is not known"
    if picture.label is not None:
        right = answer == picture.label
        tone = "right" if right else "wrong"
        truth = "✓ right" if right else f"✗ it is {card.classes[picture.label]}"
    name = text.exit_name(index, card.num_exits)
    return {"text": card.classes[answer], "note": truth, "tone": tone, "exit": name}


def _readings(
    card: Card, routing: Routing, answer: Mapping[str, str], timing: Job[WallTime]
) -> list[Reading]:
    stages = STAGES.format(done=int(routing.exits[0]) + 1, all=card.num_exits)
    return [
        saving(card, float(routing.costs[0]), _MACS),
        Reading("answer", "Answer", answer["text"], answer["note"], tone=answer["tone"]),
        Reading("exit", "Leaves at", answer["exit"], stages),
        _time(timing),
    ]


def _time(timing: Job[WallTime]) -> Reading:
    if timing.result is None:
        note = "being measured …" if timing.running else "could not be measured"
        return Reading("time", "Measured here", text.MISSING, note)
    measured = timing.result
    low, high = map(text.milliseconds, measured.middle_half)
    least, most = measured.ratio_middle_half
    return Reading(
        "time",
        "Measured here",
        text.milliseconds(measured.seconds),
        f"{text.times(measured.ratio)} the full network ({least:.2f}–{most:.2f})",
        interval=f"half of {measured.repeats} runs: {low.removesuffix(' ms')} to {high}",
    )


def _insight(card: Card, view: state.View, picture: Picture, routing: Routing) -> None:
    # brings torch and captum, which a first paint need not wait for
    from core.analysis.saliency import SALIENCY

    st.html(
        section(
            "Where each exit looked",
            'Dark: little, <i class="ee-scale"></i> bright: much that spoke for its answer. '
            "Faded exits were never reached.",
        )
    )
    method = st.segmented_control(
        "Method",
        list(SALIENCY),
        default=next(iter(SALIENCY)),
        required=True,
        key="saliency",
        wrap=True,
        format_func=lambda name: SALIENCY[name].title,
        help="\n\n".join(f"**{one.title}**: {one.description}" for one in SALIENCY.values()),
    )
    left_at = int(routing.exits[0])
    exit_by_exit(
        card,
        view.model,
        picture.pixels,
        routing.table,
        0,
        str(method),
        left_at=left_at,
    )
    st.html(section("What else it considered", "The likeliest classes at each exit."))
    show_top_classes(card, routing.table, 0, top=TOP, left_at=left_at)
