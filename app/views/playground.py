"""Playground: one image on its way through the network."""

import math
import random
from collections.abc import Mapping

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app import resources, state, wording
from app.components import controls
from app.components.ladder import Rung, ladder
from app.components.live import STAGES, live, table_here
from app.components.looks import Look, looks, top_classes
from app.components.readout import Reading, readout, saving
from app.components.strip import Frame, strip
from app.components.style import heading, picture_card, section
from app.guard import sentences
from app.pictures import Picture, data_uri, heat, inverted
from core.card import Card
from core.criteria import CRITERIA
from core.data.prepared import ImageSet
from core.images import FORMATS, fit, has_light_edge, open_image
from core.policy import Policy
from core.routing import decide
from core.table import ExitTable, FloatArray

IN_A_STRIP = 20
TOP = 5
_ROUND = "upload-round"
_MACS = "{spent} of {whole} MACs"


def page() -> None:
    """Show the page."""
    heading(
        "Playground",
        "Send one image through the network, and see where it is sure enough to stop.",
    )
    card = controls.choices()
    view = state.view()
    image, beside = st.columns([1, 3.4], gap="medium")
    with beside:
        picture = _chosen_picture(card, view)
    if picture is None:
        st.info(
            f"No sample images ship for {card.dataset}: upload one to begin.",
            icon=":material/upload:",
        )
        state.write_url()
        return
    table = resources.asked(view.model, picture.pixels)
    exit_index = int(decide(table, view.policy).exits[0])
    with image:
        picture_card(picture, card.classes)
    _ladder(card, view, picture, table, exit_index)
    _insight(card, view, picture, table, exit_index)
    state.write_url()


def _chosen_picture(card: Card, view: state.View) -> Picture | None:
    samples = resources.samples(card.dataset)
    strip_place = st.container()
    file = _choosers(card, samples)
    picture = None
    if file is not None:
        with sentences():
            picture = _opened(file, card)
    if samples is None:
        return picture
    number = min(view.sample, len(samples) - 1)
    with strip_place:
        _strip(samples, number, chosen=picture is None)
    return picture or Picture(
        samples.images[number],
        f"Sample {number + 1} of {len(samples):,}",
        label=int(samples.labels[number]),
    )


def _choosers(card: Card, samples: ImageSet | None) -> UploadedFile | None:
    spec = card.spec
    with st.container(horizontal=True):
        if samples is not None and len(samples) > IN_A_STRIP:
            st.button(
                f"Others of {len(samples):,} samples",
                icon=":material/shuffle:",
                on_click=lambda: _pick(random.randrange(len(samples))),
                help="Another handful, drawn at random; one of them is sent through.",
            )
        with st.popover("Upload an image", icon=":material/upload:"):
            return st.file_uploader(
                "An image of your own",
                type=[*(name.lower() for name in FORMATS), "jpg", "tif"],
                key=f"upload-{st.session_state.get(_ROUND, 0)}",
                help=f"The middle square of it is scaled to the {spec.image_size} × "
                f"{spec.image_size} pixels that this network reads. It stays in this session "
                "and is stored nowhere.",
            )


def _strip(samples: ImageSet, number: int, chosen: bool) -> None:
    pages = math.ceil(len(samples) / IN_A_STRIP)
    frames = [  # every so-many-th: samples are sorted by class, and all classes are to be seen
        Frame(
            index,
            data_uri(samples.images[index]),
            f"Sample {index + 1}: {samples.classes[samples.labels[index]]}",
            chosen and index == number,
        )
        for index in range(number % pages, len(samples), pages)
    ]
    strip(frames, "Sample images", _pick)


def _pick(number: int) -> None:
    state.choose_sample(number)
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1  # an empty uploader


def _opened(file: UploadedFile, card: Card) -> Picture:
    opened = open_image(file.getvalue(), file.name)
    pixels = fit(opened.image, card.spec.image_size, card.spec.in_channels)
    notes = opened.notes
    if card.dataset == "mnist":
        turn = st.toggle(
            "Turn dark on light into light on dark",
            value=has_light_edge(pixels),
            key=f"invert-{file.file_id}",
            help="This network learned white digits on black. A dark digit on light paper "
            "has to be turned around first.",
        )
        if turn:
            pixels = inverted(pixels)
            notes += ("Its light and dark were exchanged, as this network reads white on black.",)
    return Picture(pixels, file.name, notes=notes, uploaded=True)


def _ladder(
    card: Card, view: state.View, picture: Picture, table: ExitTable, exit_index: int
) -> None:
    policy = view.policy
    answers = [_answer(card, picture, table, index) for index in range(card.num_exits)]
    criterion = CRITERIA[policy.criterion]
    scores = criterion.scores(policy.heated(table))[0]
    live(
        readout(_readings(card, view, picture, table, answers[exit_index]))
        + ladder(
            [_rung(card, policy, picture, table, scores, index) for index in range(card.num_exits)],
            exit_index,
            criterion.title,
        ),
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


def _answer(card: Card, picture: Picture, table: ExitTable, index: int) -> dict[str, str]:
    """Return what the readings say when the image leaves at an exit."""
    answer = int(table.answers[0, index])
    tone, truth = "", "not known whether it is right"
    if picture.label is not None:
        right = answer == picture.label
        tone = "right" if right else "wrong"
        truth = "✓ right" if right else f"✗ it is {card.classes[picture.label]}"
    name = wording.exit_name(index, card.num_exits)
    return {"text": card.classes[answer], "note": truth, "tone": tone, "exit": name}


def _readings(
    card: Card, view: state.View, picture: Picture, table: ExitTable, answer: Mapping[str, str]
) -> list[Reading]:
    decision = decide(table, view.policy)
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
            wording.milliseconds(seconds),
            f"{wording.milliseconds(whole)} without early exits",
        ),
    ]


def _rung(
    card: Card,
    policy: Policy,
    picture: Picture,
    table: ExitTable,
    scores: FloatArray,
    index: int,
) -> Rung:
    early = index < card.num_exits - 1
    answer = int(table.answers[0, index])
    return Rung(
        name=wording.exit_name(index, card.num_exits),
        answer=card.classes[answer],
        probability=float(table.probabilities[0, index, answer]),
        score=float(scores[index]) if early else None,
        threshold=policy.thresholds[index] if early else None,
        enabled=policy.enabled[index] if early else True,
        stage_cost=float(card.stage_costs[index]),
        stage_macs=card.stage_macs[index],
        right=None if picture.label is None else answer == picture.label,
    )


def _insight(
    card: Card, view: state.View, picture: Picture, table: ExitTable, exit_index: int
) -> None:
    image = data_uri(picture.pixels)
    items = []
    for index in range(card.num_exits):
        answer = int(table.answers[0, index])
        seen = resources.looked_at(view.model, picture.pixels, index, answer)
        probabilities = table.probabilities[0, index]
        likeliest = (-probabilities).argsort(kind="stable")[:TOP]
        items.append(
            Look(
                name=wording.exit_name(index, card.num_exits),
                image=image,
                veil=data_uri(heat(seen)),
                answer=card.classes[answer],
                top=[(card.classes[number], float(probabilities[number])) for number in likeliest],
                reached=index <= exit_index,
            )
        )
    st.html(
        section(
            "Where each exit looked",
            'Grad-CAM: little <i class="ee-scale"></i> much that spoke for the answer. '
            "Faded exits were never reached.",
        )
    )
    looks(items)
    st.html(section("What else it considered", "The likeliest classes at each exit."))
    top_classes(items)
