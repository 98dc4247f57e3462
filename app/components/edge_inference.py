"""Inference shared between device and cloud: latency, bytes and energy of each split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import streamlit as st

from app import resources, state, text
from app.charts import plotly
from app.charts.link import latency_by_split
from app.components.html import BEST, Column, Reading, Row, readings, section, table
from app.components.model_choice import split_note
from app.components.widgets import setting
from app.state import Settings, choice, nearest, number, parameter, whole
from core.edge_cloud.inference import (
    TARGETS,
    Conditions,
    InferencePlan,
    Target,
    best_split,
    inference_plans,
    leaving_shares,
)
from core.exits.routing import route
from core.hub.card import Card

if TYPE_CHECKING:
    from core.deploy.benchmark import PartTimes

SLOWDOWNS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
MOST_MS, MOST_WATTS, MOST_JOULES = 10_000, 1000.0, 1000.0
_MEGABYTE = 1e6
_TARGETS: dict[Target, str] = {
    "p95": "p95 latency",
    "mean": "mean latency",
    "bytes": "bytes sent",
    "energy": "energy",
}


@dataclass(frozen=True)
class Inference:
    """What a device, the way to the cloud and the images are like.

    Attributes:
        target: what the best split has least of, one of `core.edge_cloud.inference.TARGETS`.
        round_trip: milliseconds.
        slowdown: of the device, in units of this machine's time; one of `SLOWDOWNS`.
        watts: that the device draws while it computes.
        joules: that it spends to send a megabyte.
        hard: percent of the images that no early exit answers; None: as in the table.
    """

    target: str = parameter("least", "p95", choice(TARGETS))
    round_trip: int = parameter("trip", 40, whole(0, MOST_MS))
    slowdown: float = parameter("slower", 5.0, nearest(SLOWDOWNS), "{:g}".format)
    watts: float = parameter("watts", 3.0, number(0, MOST_WATTS), "{:g}".format)
    joules: float = parameter("joules", 3.0, number(0, MOST_JOULES), "{:g}".format)
    hard: int | None = parameter("hard", None, whole(0, 100))


INFERENCE = Settings("inference", Inference)


def edge_inference(
    card: Card, times: "PartTimes", rate: float, bits: int, cloud_speed: float
) -> None:
    """Show what each split of a model costs at inference, and which one is the best.

    Args:
        card: of the model.
        times: of its parts for one image on this machine.
        rate: of the link, bits per second.
        bits: of each feature that is sent.
        cloud_speed: in units of this machine's.

    Raises:
        UserError: the model has no table.
    """
    view = state.view()
    split_note(view.model)
    routing = route(resources.shown_table(view.model), view.policy)
    chosen = _settings(float(leaving_shares(routing)[-1]))
    size = card.spec.image_size
    plans = inference_plans(
        times.stages,
        times.heads,
        view.policy.enabled,
        leaving_shares(routing, None if chosen.hard is None else chosen.hard / 100),
        [stage.shape for stage in resources.stages_of(view.model)],
        (card.spec.in_channels, size, size),
        Conditions(
            rate=rate,
            round_trip=chosen.round_trip / 1000,
            device_slowdown=chosen.slowdown,
            cloud_speed=cloud_speed,
            bits=bits,
            watts=chosen.watts,
            joules_per_byte=chosen.joules / _MEGABYTE,
        ),
    )
    target = cast(Target, chosen.target)
    best = best_split(plans, target)
    _numbers(card, plans, best, target)
    plotly.show(
        latency_by_split([(_title(card, plan), plan) for plan in plans]),
        "latency-by-split",
        "Mean latency of each split, by device, link and cloud, with p50 and p95",
    )
    st.html(table(_COLUMNS, [_row(card, plan, plan is best) for plan in plans]))
    st.caption(
        "Latencies differ only by where an image leaves: part times are medians, the link is "
        "steady, no image waits for another. Sent is the smaller of the features at the split and "
        "the picture as the network reads it, a byte per pixel and channel; with the picture the "
        "cloud begins at the first stage. Rounded features may change a few answers, which is not "
        "predicted. Energy is the device's: seconds of computing times watts, and bytes times "
        "joules; waiting costs nothing. Watts and joules are assumptions."
    )


def _settings(known: float) -> Inference:
    """Show what can be set; return it as it fits images of which so many are hard."""
    fixed = known in (0, 1)
    if fixed:
        INFERENCE.change(hard=None)
    trip, slowdown, watts, joules, hard = st.columns([1, 1.5, 1, 1, 1.2], gap="medium")
    setting(
        INFERENCE,
        "round_trip",
        trip.number_input,
        "Round trip, ms",
        0,
        MOST_MS,
        step=10,
        help="Milliseconds to the cloud and back, without what is sent. The answer comes with it.",
    )
    setting(
        INFERENCE,
        "slowdown",
        slowdown.select_slider,
        "Device takes",
        SLOWDOWNS,
        format_func=lambda value: f"{value:g} × the time",
        help="How many times as long as this machine the device computes.",
    )
    setting(
        INFERENCE,
        "watts",
        watts.number_input,
        "Watts",
        0.0,
        MOST_WATTS,
        step=0.5,
        help="What the device draws while it computes. An assumption: measure your device.",
    )
    setting(
        INFERENCE,
        "joules",
        joules.number_input,
        "Joules per MB",
        0.0,
        MOST_JOULES,
        step=0.5,
        help="What the device spends to send a megabyte. An assumption: it depends on the radio "
        "and the distance.",
    )
    setting(
        INFERENCE,
        "hard",
        hard.number_input,
        "Hard images, %",
        0,
        100,
        step=5,
        placeholder=f"measured {100 * known:.1f}",
        disabled=fixed,
        help="How many of the images no early exit answers, under the policy of all pages. The "
        "images of the table count more or less to make it so; empty: as they are.",
    )
    setting(
        INFERENCE,
        "target",
        st.segmented_control,
        "Best is the split with the least",
        TARGETS,
        required=True,
        format_func=_TARGETS.__getitem__,
    )
    return INFERENCE.now


def _title(card: Card, plan: InferencePlan) -> str:
    stages = plan.stages_on_device
    if stages == 0:
        return "All sent"
    if stages == card.num_exits:
        return "All on the device"
    return f"Split at {text.exit_name(stages - 1, card.num_exits)}"


def _figure(plan: InferencePlan, target: Target) -> str:
    value = plan.figure(target)
    if target == "bytes":
        return text.size(value)
    return text.energy(value) if target == "energy" else text.duration(value)


def _numbers(
    card: Card, plans: Sequence[InferencePlan], best: InferencePlan, target: Target
) -> None:
    images = f"the images of the {resources.shown_split(state.view().model)} split"
    if INFERENCE.now.hard is not None:
        images += f", weighted so that {INFERENCE.now.hard} % are hard,"
    st.html(
        section("Where to split", f"Per image, over {images} under the policy of all pages.")
        + readings(
            [
                Reading(
                    "best",
                    f"Best: {_title(card, best)}",
                    _figure(best, target),
                    f"least {_TARGETS[target]}",
                    strong=True,
                ),
                Reading(
                    "answered",
                    "Answered on the device",
                    text.percent(best.answered),
                    "at the best split",
                ),
                *(
                    Reading(
                        _title(card, plan),
                        _title(card, plan),
                        _figure(plan, target),
                        _TARGETS[target],
                    )
                    for plan in (plans[-1], plans[0])
                ),
            ]
        )
    )


_COLUMNS = (
    Column("Split"),
    Column("Answered on the device", "Share of the images that leave at an exit there."),
    Column("Sent", "Of an image that the device does not answer."),
    Column("p50", "Half of the images are answered within this time."),
    Column("p95", "95 % of the images are answered within this time."),
    Column("Mean latency"),
    Column("Bytes per image", "The mean over all images, those that are not sent included."),
    Column("Energy per image", "What the device spends, the mean over all images."),
)


def _row(card: Card, plan: InferencePlan, best: bool) -> Row:
    sent = f"{plan.sent_as}, {text.size(plan.message)}" if plan.sent_as else "nothing"
    return Row(
        [
            f"{_title(card, plan)}{' ★ best' if best else ''}",
            text.percent(plan.answered),
            sent,
            text.duration(plan.percentile(50)),
            *(_figure(plan, target) for target in TARGETS),
        ],
        BEST if best else "",
    )
