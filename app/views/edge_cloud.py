"""Edge and cloud: one network in two places, to train it or to have it answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import resources, state, text
from app.charts import plotly
from app.charts.link import seconds_against_rate
from app.charts.timeline import timeline
from app.components.edge_inference import INFERENCE, edge_inference
from app.components.errors import sentences
from app.components.html import Column, Reading, Row, box, heading, readings, section, table
from app.components.model_choice import model_choice, models_to_choose, open_configuration
from app.components.save_chart import save_chart
from app.components.widgets import setting
from app.state import Settings, choice, nearest, parameter, whole
from core.edge_cloud.plan import (
    Plan,
    Station,
    batches_in,
    best,
    plans,
    rate_grid,
    rate_text,
    stretches,
)
from core.edge_cloud.plan import timeline as when
from core.edge_cloud.traffic import BITS, EdgeCloudFacts
from core.foundation.files import csv_text
from core.hub.card import Card

RATES = tuple(digit * 10.0**power for power in range(5, 11) for digit in (1, 2, 5))
SPEEDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
MOST_IMAGES = 10_000_000
BATCHES_SHOWN = 4
_RENEW = "part-times-renewed"
_STATIONS: dict[Station, str] = {"edge": "the edge", "link": "the link", "cloud": "the cloud"}
_TRAINING_IDEA = """
The <b>edge</b> holds the images and the first stages, up to an early exit. That exit's own loss
teaches them. What they make of each image, the features, is sent to the <b>cloud</b>, which trains
the rest. No image and no gradient crosses the link, so both learn at the same time, each on its
own batch (<a href="https://arxiv.org/abs/2303.02384" target="_blank">Sepehri et al.</a>).
"""
_INFERENCE_IDEA = """
The <b>device</b> runs the network up to the split, under the policy of all pages. An image that
leaves at an exit there is answered on the device; every other one is sent, and the <b>cloud</b>
goes on. The answers are the same for each split: it decides how long they take, what is sent, and
the device's energy.
"""
_IDEAS = {
    "training": ("Hierarchical training", _TRAINING_IDEA),
    "answering": ("Inference in two places", _INFERENCE_IDEA),
}
_NO_EXITS = """
This network has no early exits, so there is nowhere to split it: what the edge keeps needs an exit
of its own to learn from. Choose a model that has some.
"""
_NONE_MEASURED = """
None of the models here was trained in this way. <code>python -m core edge-cloud train
hierarchical20-cifar10</code> trains one with two real processes, and its figures appear here.
"""


def _bits(text: str) -> int | None:
    return int(text) if text in map(str, BITS) else None


@dataclass(frozen=True)
class Plans:
    """What the page is set to; what only inference has is in `INFERENCE`.

    Attributes:
        what: the page is about, a key of `_IDEAS`.
        split: an early exit's name; a network that has no such exit is split at the middle one.
        rate: of the link in bits per second, one of `RATES`.
        bits: per feature, one of `core.edge_cloud.traffic.BITS`.
        cloud_speed: in units of this machine's, one of `SPEEDS`.
        images: per epoch.
    """

    what: str = parameter("show", "training", choice(_IDEAS))
    split: str = parameter("split", "", always=True)
    rate: float = parameter("rate", 1e8, nearest(RATES), "{:.15g}".format, always=True)
    bits: int = parameter("bits", 16, _bits, always=True)
    cloud_speed: float = parameter("speed", 2.0, nearest(SPEEDS), "{:g}".format, always=True)
    images: int = parameter("images", 50_000, whole(1, MOST_IMAGES), always=True)


PLANS = Settings("plans", Plans)


def page() -> None:
    """Show the page."""
    heading("Edge and cloud", "One network in two places: where to split it, and when not.")
    setting(
        PLANS,
        "what",
        st.segmented_control,
        "Show",
        list(_IDEAS),
        required=True,
        label_visibility="collapsed",
        format_func=str.capitalize,
        help="Train a network in two places, or have it answer in two places.",
    )
    picker, idea = st.columns([1, 2.6], gap="large", vertical_alignment="center")
    with picker:
        names = models_to_choose()
        now = open_configuration(names)
        model_choice(now, names)
    with idea:
        title, idea_text = _IDEAS[PLANS.now.what]
        st.html(box(title, idea_text, icon="⇄"))
    if PLANS.now.what == "answering":
        with sentences():
            _answering(now.card)
        state.write_url(PLANS.to_query() | INFERENCE.to_query())
        return
    if now.card.num_exits == 1:
        st.html(box("Nowhere to split", _NO_EXITS, icon="○", tone="warning"))
    else:
        with sentences():
            _predicted(now.card)
    _measured(now.card)
    state.write_url(PLANS.to_query())


def _answering(card: Card) -> None:
    rate, bits, speed = st.columns([1.8, 0.8, 1.5], gap="medium")
    _rate_setting(rate.select_slider)
    _bits_setting(bits.selectbox)
    _speed_setting(speed.select_slider)
    chosen = PLANS.now
    times = resources.inference_times(state.view().model, st.session_state.get(_RENEW, 0))
    edge_inference(card, times, chosen.rate, chosen.bits, chosen.cloud_speed)
    _again(
        "Runs every stage and head by itself on the machine that shows this page, one image at a "
        "time, in turns, and takes medians.",
        "Measured: how long each part takes for one image on this machine, with "
        f"{text.plural(times.threads, 'thread')}. Calculated from that: everything else.",
    )


def _predicted(card: Card) -> None:
    name = state.view().model
    chosen = _settings(card)
    times = resources.training_times(name, st.session_state.get(_RENEW, 0))
    size = card.spec.image_size
    choices = plans(
        times,
        card.exit_names,
        [stage.shape for stage in resources.stages_of(name)],
        (card.spec.in_channels, size, size),
        len(card.classes),
        chosen.bits,
        chosen.cloud_speed,
    )
    batches = batches_in(chosen.images, times.batch_size)
    split = next(plan for plan in choices if plan.name == chosen.split)
    _numbers(card, choices, split, chosen.rate, batches)
    _when(card, split, chosen.rate)
    _compared(card, choices, chosen.rate, batches)
    _again(
        "Trains a fresh network of this kind for a few batches on the machine that shows this "
        "page, part by part, and takes medians.",
        f"Measured: how long each part takes to learn from {times.batch_size} images on this "
        f"machine, with {text.plural(times.threads, 'thread')}. Calculated from that: everything "
        "else.",
    )


def _settings(card: Card) -> Plans:
    """Show what can be set; return it as it fits the model."""
    exits = card.exit_names[:-1]
    if PLANS.now.split not in exits:
        PLANS.change(split=exits[len(exits) // 2])
    chosen = PLANS.now

    split, rate, bits, speed, images = st.columns([1.5, 1.8, 0.8, 1.5, 1.1], gap="medium")
    setting(
        PLANS,
        "split",
        split.selectbox,
        "Split at",
        exits,
        format_func=lambda name: f"{_exit(card, name)} (after {name})",
        help="The last early exit that the edge owns. Later: fewer features to send, as a rule, "
        "and more work for the edge.",
    )
    _rate_setting(rate.select_slider)
    _bits_setting(bits.selectbox)
    _speed_setting(speed.select_slider)
    setting(
        PLANS,
        "images",
        images.number_input,
        "Images per epoch",
        1,
        MOST_IMAGES,
        step=5000,
        help="An epoch is one pass over so many images.",
    )
    return chosen


def _rate_setting(widget: Callable[..., Any]) -> None:
    setting(
        PLANS,
        "rate",
        widget,
        "Link",
        RATES,
        format_func=rate_text,
        help="How much passes from the edge to the cloud. A mobile upload has about 10 Mbit/s, "
        "a network cable 1 Gbit/s.",
    )


def _bits_setting(widget: Callable[..., Any]) -> None:
    setting(
        PLANS,
        "bits",
        widget,
        "Features in",
        BITS,
        format_func=lambda value: f"{value} bits",
        help="32: as they are. 16: rounded to bfloat16. 8: each channel's range in 255 steps.",
    )


def _speed_setting(widget: Callable[..., Any]) -> None:
    setting(
        PLANS,
        "cloud_speed",
        widget,
        "Speed of the cloud",
        SPEEDS,
        format_func=lambda value: f"{value:g} ×",
        help="How many times as fast as this machine the cloud computes. In training this machine "
        "is the edge.",
    )


def _exit(card: Card, name: str) -> str:
    return text.exit_name(card.exit_names.index(name), card.num_exits)


def _title(card: Card, plan: Plan) -> str:
    return f"Split at {_exit(card, plan.name)}" if plan.kind == "split" else plan.name.capitalize()


def _numbers(card: Card, choices: tuple[Plan, ...], split: Plan, rate: float, batches: int) -> None:
    edge, cloud = choices[0], choices[-1]
    quickest = best(choices, rate, batches)
    keeping = best([plan for plan in choices if plan.kind != "cloud"], rate, batches)
    st.html(
        section("Predicted time per epoch", f"With a link of {rate_text(rate)}.")
        + readings(
            [
                Reading(
                    "split",
                    _title(card, split),
                    text.duration(split.seconds(rate, batches)),
                    f"sends {text.size(split.bytes_per_image)} per image, "
                    f"{text.size(split.bytes(batches))} per epoch",
                    strong=True,
                ),
                Reading(
                    "edge",
                    "All on the edge",
                    text.duration(edge.seconds(rate, batches)),
                    "sends nothing",
                ),
                Reading(
                    "cloud",
                    "All in the cloud",
                    text.duration(cloud.seconds(rate, batches)),
                    f"sends every image, {text.size(cloud.bytes_per_image)}",
                ),
                Reading(
                    "best",
                    "Quickest at this rate",
                    _title(card, quickest),
                    text.duration(quickest.seconds(rate, batches))
                    if quickest == keeping
                    else f"of those that keep the images: {_title(card, keeping)}",
                ),
            ]
        )
    )


def _when(card: Card, split: Plan, rate: float) -> None:
    slowest = _STATIONS[split.bottleneck(rate)]
    busy = split.busy(rate)
    spoken = ", ".join(f"{one} {text.percent(part, 0)}" for one, part in busy.items())
    bars = when(split, rate, BATCHES_SHOWN)
    spoken_line = f"Time line of {BATCHES_SHOWN} batches. Busy: {spoken}. Slowest: {slowest}."
    st.html(
        section(
            "Time line",
            f"The first {BATCHES_SHOWN} batches of an epoch, split at "
            f"{_exit(card, split.name).lower()}. Here {slowest} is the slowest: from batch to "
            f"batch it takes {text.brief(split.busiest(rate))}.",
        )
        + timeline(bars, busy, spoken_line)
    )
    save_chart(
        ".ee-timeline",
        f"{card.title}, {_title(card, split)}. {spoken_line}",
        "timeline",
        csv_text(
            ("lane", "batch", "from (s)", "to (s)"),
            zip(*((bar.lane, bar.batch, bar.start, bar.end) for bar in bars), strict=True),
        ),
    )


_COLUMNS = (
    Column("Trained"),
    Column("Sent per image", "Features, their scales and the label."),
    Column("Sent per epoch"),
    Column("Edge computes", "Per epoch; measured part by part on this machine."),
    Column("Link", "Per epoch, at the rate that is set."),
    Column("Cloud computes", "Per epoch; as on this machine, divided by the speed."),
    Column("Epoch", "Edge, link and cloud work at the same time."),
)


def _compared(card: Card, choices: tuple[Plan, ...], rate: float, batches: int) -> None:
    found = stretches(choices, batches)
    st.html(
        section(
            "Which plan for which link",
            "A slow link favours the edge, a fast one the cloud; a split may win in between.",
        )
    )
    chart, answers = st.columns([1.5, 1], gap="large")
    rates = rate_grid(RATES[0], RATES[-1], per_decade=20)
    figure = seconds_against_rate(
        rates,
        [(_title(card, one), [one.seconds(at, batches) for at in rates]) for one in choices],
        [
            (one.slowest, one.plan.seconds(one.slowest, batches))
            for one in found
            if RATES[0] <= one.slowest <= RATES[-1]
        ],
        rate,
    )
    with chart:
        plotly.show(
            figure,
            "link-curves",
            "Predicted seconds per epoch against the rate of the link, one line per plan",
        )
    rows = []
    for index, one in enumerate(found):
        slow, fast = rate_text(one.slowest), rate_text(one.fastest)
        first, last = index == 0, index == len(found) - 1
        if first:
            stretch = "at any rate" if last else f"below {fast}"
        else:
            stretch = f"from {slow}" if last else f"{slow} to {fast}"
        rows.append(Row([stretch, _title(card, one.plan)]))
    answers.html(table([Column("Link"), Column("Quickest")], rows))
    answers.caption(
        "Time is not everything: all in the cloud gives the images away, and sends them in "
        "every epoch anew, as they come in. Accuracy is not predicted."
    )
    st.html(
        table(
            _COLUMNS,
            [
                Row(
                    [
                        _title(card, one),
                        text.size(one.bytes_per_image),
                        text.size(one.bytes(batches)),
                        *map(text.duration, one.totals(rate, batches).values()),
                        text.duration(one.seconds(rate, batches)),
                    ]
                )
                for one in choices
            ],
        )
    )


def _again(how: str, measured: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Measure again", icon=":material/timer:", help=how):
            st.session_state[_RENEW] = st.session_state.get(_RENEW, 0) + 1
            st.rerun()
        st.caption(measured)


def _measured(card: Card) -> None:
    cards = resources.cards_of(resources.model_names()).values()
    pairs = [(card, card.training.edge_cloud) for card in cards if card.training is not None]
    measured = [(card, facts) for card, facts in pairs if facts is not None]
    st.html(
        section("Measured", "What two real processes took, on average over their epochs.")
        + ("" if measured else box("Not yet", _NONE_MEASURED, icon="○"))
    )
    if measured:
        st.html(table(_FACTS, [_facts(card, facts) for card, facts in measured]))


_FACTS = (
    Column("Model"),
    Column("Split at", "With the bits of each number that crosses."),
    Column("Link"),
    Column("Sent per epoch", "Features, their scales and labels, counted."),
    Column("Between epochs", "Weights and optimiser state, both ways, for checkpoints."),
    Column("Edge busy"),
    Column("Link busy"),
    Column("Cloud busy"),
    Column("Epoch", "Without the look at the calibration split that follows."),
    Column("Accuracy on test", "At the final exit; of the plain network in brackets."),
)


def _facts(card: Card, facts: EdgeCloudFacts) -> Row:
    accuracy = text.percent(card.per_exit_accuracy["test"][-1], 2)
    if card.plain is not None:
        accuracy += f" ({text.percent(card.plain.test_accuracy, 2)})"
    return Row(
        [
            card.title,
            f"{facts.split}, {facts.bits} bits",
            "full speed" if facts.rate is None else rate_text(facts.rate),
            text.size(facts.batch_bytes),
            text.size(facts.state_bytes),
            text.duration(facts.edge_seconds),
            text.duration(facts.link_seconds),
            text.duration(facts.cloud_seconds),
            text.duration(facts.seconds),
            accuracy,
        ]
    )
