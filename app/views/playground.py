"""Playground: one image on its way through the network."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import resources, state, text
from app.charts import plotly
from app.charts.ladder import Rung, ladder
from app.components import model_choice, picture_choice
from app.components.live import STAGES, live, table_here
from app.components.pictures import Picture, data_uri, heat
from app.components.readout import Reading, readout, saving
from app.components.remaining_classes import classes_left
from app.components.saliency import Look, looks, top_classes
from app.components.saving import save_button
from app.components.style import heading, picture_card, section
from core.analysis.corruptions import CORRUPTIONS, corrupt
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import route
from core.exits.table import ExitTable, FloatArray
from core.hub.card import Card

if TYPE_CHECKING:
    from core.analysis.saliency import SaliencyMethod

TOP = 5
SEVERITIES = np.linspace(0, 1, 21).tolist()
_MACS = "{spent} of {whole} MACs"


def page() -> None:
    """Show the page."""
    heading(
        "Playground",
        "Send one image through the network, and see where it is sure enough to stop.",
    )
    card = model_choice.choices()
    view = state.view()
    image, beside = st.columns([1, 3.4], gap="medium")
    with beside:
        chosen = picture_choice.pictures(card)
        if chosen is None:
            st.info(
                f"No images of {text.dataset(card.dataset)} ship, and the data set is not on "
                "this machine: upload a picture to begin.",
                icon=":material/upload:",
            )
            state.write_url()
            return
        pictures, number = chosen
        _spoiling(view)
    picture = replace(
        pictures[number], pixels=_spoiled(pictures[number].pixels, view, view.severity)
    )
    table = resources.asked(view.model, picture.pixels)
    exit_index = int(route(table, view.policy).exits[0])
    with image:
        picture_card(picture, card.classes)
    _ladder(card, view, picture, table, exit_index)
    if view.spoiler and card.num_exits > 1:
        _severities(card, view, pictures[number])
    _insight(card, view, picture, table, exit_index)
    if len(pictures) > 1:
        _all_of_them(card, view, pictures)
    state.write_url()


_NOT_SPOILED = "nothing"


def _spoiling(view: state.View) -> None:
    def changed() -> None:
        name = st.session_state["spoiler"]
        state.choose_spoiler(
            "" if name == _NOT_SPOILED else name, st.session_state.get("severity", 0) / 100
        )

    what, how_much = st.columns([4.2, 1], gap="medium")
    st.session_state["spoiler"] = view.spoiler or _NOT_SPOILED
    with what:
        st.segmented_control(
            "Spoil it",
            [_NOT_SPOILED, *CORRUPTIONS],
            required=True,
            key="spoiler",
            on_change=changed,
            wrap=True,
            format_func=lambda name: CORRUPTIONS[name].title if name in CORRUPTIONS else "As it is",
            help="Harder images leave later. "
            + " ".join(f"**{one.title}**: {one.description}" for one in CORRUPTIONS.values()),
        )
    if view.spoiler:
        st.session_state["severity"] = round(100 * view.severity)
        with how_much:
            st.slider(
                "How badly",
                0,
                100,
                format="%d %%",
                key="severity",
                on_change=changed,
                help=CORRUPTIONS[view.spoiler].description,
            )


def _spoiled(pixels: NDArray[np.uint8], view: state.View, severity: float) -> NDArray[np.uint8]:
    return corrupt(pixels, view.spoiler, severity) if view.spoiler else pixels


def _severities(card: Card, view: state.View, picture: Picture) -> None:
    images = np.stack([_spoiled(picture.pixels, view, severity) for severity in SEVERITIES])
    table = resources.asked_all(view.model, images)
    scores = view.policy.scores(table)
    exits = route(table, view.policy).exits
    names = [text.exit_name(index, card.num_exits) for index in range(card.num_exits)]
    st.html(
        section(
            f"How much {CORRUPTIONS[view.spoiler].title.lower()} it takes",
            f"{CRITERIA[view.policy.criterion].title} at every early exit as the image gets "
            "worse. Dots: where it leaves.",
        )
    )
    st.plotly_chart(
        plotly.severity(SEVERITIES, scores, exits, names, view.severity),
        key="severities",
        config=plotly.CONFIG,
        alt="Score at each early exit against the severity of spoiling",
    )


def _all_of_them(card: Card, view: state.View, pictures: Sequence[Picture]) -> None:
    images = np.stack([_spoiled(one.pixels, view, view.severity) for one in pictures])
    table = resources.asked_all(view.model, images)
    decision = route(table, view.policy)
    rows = [
        {
            "image": data_uri(images[index]),
            "name": one.name,
            "answer": card.classes[decision.answers[index]],
            "probability": float(table.probabilities[index, exit_index, decision.answers[index]]),
            "leaves at": text.exit_name(exit_index, card.num_exits),
            "relative cost": float(decision.costs[index]),
        }
        for index, (one, exit_index) in enumerate(
            zip(pictures, decision.exits.tolist(), strict=True)
        )
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
    content = io.StringIO()
    fields = [name for name in rows[0] if name != "image"]
    writer = csv.DictWriter(content, fields, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    save_button(
        "Save as CSV",
        content.getvalue(),
        f"{card.name}-images.csv",
    )


def _ladder(
    card: Card, view: state.View, picture: Picture, table: ExitTable, exit_index: int
) -> None:
    policy = view.policy
    said = route(table, policy).exit_answers[0].tolist()
    spoken = [_answer(card, picture, answer, index) for index, answer in enumerate(said)]
    scores = policy.scores(table)[0]
    live(
        readout(_readings(card, view, picture, table, spoken[exit_index]))
        + ladder(
            [
                _rung(card, policy, picture, table, scores, answer, index)
                for index, answer in enumerate(said)
            ],
            exit_index,
            CRITERIA[policy.criterion].title,
        ),
        "",
        table_here(table, policy),
        card,
        policy,
        state.choose_policy,
        macs=_MACS,
        columns=card.num_exits,
        key="ladder",
        answers=spoken,
        leaves=exit_index,
    )
    _classes_left(card, policy, table, exit_index)


def _classes_left(card: Card, policy: Policy, table: ExitTable, exit_index: int) -> None:
    left = route(table, policy).possible_classes
    if left is None:
        return
    shown = [index for index, on in enumerate(policy.enabled) if on]
    st.html(
        section(
            "Which classes are left",
            "Each exit rules out classes (✕); an image leaves when one is left. Percent: what the "
            "exit gives to those that are. Faded exits were never reached.",
        )
        + classes_left(
            card.classes,
            [text.exit_name(index, card.num_exits) for index in shown],
            left[0, shown].tolist(),
            table.probabilities[0, shown].tolist(),
            [index <= exit_index for index in shown],
        )
    )


def _answer(card: Card, picture: Picture, answer: int, index: int) -> dict[str, str]:
    """Return what the readings say when the image leaves at an exit."""
    tone, truth = "", "not known whether it is right"
    if picture.label is not None:
        right = answer == picture.label
        tone = "right" if right else "wrong"
        truth = "✓ right" if right else f"✗ it is {card.classes[picture.label]}"
    name = text.exit_name(index, card.num_exits)
    return {"text": card.classes[answer], "note": truth, "tone": tone, "exit": name}


def _readings(
    card: Card, view: state.View, picture: Picture, table: ExitTable, answer: Mapping[str, str]
) -> list[Reading]:
    decision = route(table, view.policy)
    done = int(decision.exits[0]) + 1
    seconds, whole = resources.measured_seconds(view.model, picture.pixels, view.policy)
    return [
        saving(card, float(decision.costs[0]), _MACS),
        Reading("answer", "Answer", answer["text"], answer["note"], tone=answer["tone"]),
        Reading(
            "exit",
            "Leaves at",
            answer["exit"],
            STAGES.format(done=done, all=card.num_exits),
        ),
        Reading(
            "time",
            "Measured here",
            text.milliseconds(seconds),
            f"{text.milliseconds(whole)} without early exits",
        ),
    ]


def _rung(
    card: Card,
    policy: Policy,
    picture: Picture,
    table: ExitTable,
    scores: FloatArray,
    answer: int,
    index: int,
) -> Rung:
    early = index < card.num_exits - 1
    return Rung(
        name=text.exit_name(index, card.num_exits),
        answer=card.classes[answer],
        probability=float(table.probabilities[0, index, answer]),
        score=float(scores[index]) if early else None,
        threshold=policy.thresholds[index] if early else None,
        enabled=policy.enabled[index] if early else True,
        stage_cost=float(card.costs.stages[index]),
        stage_macs=card.stage_macs[index],
        right=None if picture.label is None else answer == picture.label,
    )


def _insight(
    card: Card, view: state.View, picture: Picture, table: ExitTable, exit_index: int
) -> None:
    from core.analysis.saliency import (
        SALIENCY,
    )  # brings torch and captum, which a first paint need not wait for

    st.html(
        section(
            "Where each exit looked",
            'Little <i class="ee-scale"></i> much that spoke for its answer. '
            "Faded exits were never reached.",
        )
    )
    method, strength = _saliency_controls(SALIENCY)
    image = data_uri(picture.pixels)
    items = []
    for index in range(card.num_exits):
        answer = int(table.answers[0, index])
        seen = resources.looked_at(view.model, picture.pixels, index, answer, method)
        probabilities = table.probabilities[0, index]
        likeliest = (-probabilities).argsort(kind="stable")[:TOP]
        items.append(
            Look(
                name=text.exit_name(index, card.num_exits),
                image=image,
                veil=data_uri(heat(seen)),
                answer=card.classes[answer],
                top=[(card.classes[number], float(probabilities[number])) for number in likeliest],
                reached=index <= exit_index,
            )
        )
    looks(items, strength)
    st.html(section("What else it considered", "The likeliest classes at each exit."))
    top_classes(items)


def _saliency_controls(methods: "Mapping[str, SaliencyMethod]") -> tuple[str, float]:
    which, strength = st.columns([3, 1], gap="medium")
    with which:
        method = st.segmented_control(
            "Method",
            list(methods),
            default=next(iter(methods)),
            required=True,
            key="saliency",
            wrap=True,
            format_func=lambda name: methods[name].title,
            help="\n\n".join(f"**{one.title}**: {one.description}" for one in methods.values()),
        )
    with strength:
        percent = st.slider(
            "Strength",
            0,
            100,
            80,
            5,
            format="%d %%",
            key="strength",
            help="How strongly the map covers the image.",
        )
    return str(method), percent / 100
