"""Model: how a network is built, how it was trained, and how accurate it is."""

import json
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from app import resources, state, text
from app.charts.network import Part, blueprint
from app.components.elsewhere import elsewhere
from app.components.errors import sentences
from app.components.html import TOTAL, Column, Row, box, facts, heading, section, table
from app.components.model_choice import (
    allows,
    choices,
    models_to_choose,
    open_configuration,
    split_note,
)
from app.components.own_network import CHOSEN, own_network
from app.components.save_chart import save_chart
from app.components.widgets import bound, save_button
from app.state import Settings, choice, parameter
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.foundation.files import csv_text
from core.hub.card import Card, OperatingPoint, TrainingFacts
from core.hub.methods import METHODS

if TYPE_CHECKING:
    from core.deploy.benchmark import PartTimes
    from core.networks.outline import StageOutline

BATCHES = (1, 64)
_TIMES = "part-times"


@dataclass(frozen=True)
class Shown:
    """What the page shows: the chosen "model", or a network of the visitor's "own"."""

    what: str = parameter("show", "model", choice(("own",)))


SHOWN = Settings("model-page", Shown)
_TITLES = {"model": "The chosen model", "own": "Your own network"}


def page() -> None:
    """Show the page."""
    heading("Model", "How a network is built, how it was trained, how accurate it is; or your own.")
    bound(
        st.segmented_control,
        "Show",
        list(_TITLES),
        key="model-page",
        value=SHOWN.now.what,
        choose=lambda what: SHOWN.change(what=what),
        required=True,
        label_visibility="collapsed",
        format_func=_TITLES.__getitem__,
        help="Put early exits on a network of your own and train them here.",
    )
    if SHOWN.now.what == "own":
        names = models_to_choose()
        open_configuration(names)
        own_network()
        state.write_url(SHOWN.to_query() | CHOSEN.to_query())
        return
    _model()
    state.write_url(SHOWN.to_query())


def _model() -> None:
    card = choices()
    view = state.view()
    split_note(view.model)
    stages = resources.stages_of(view.model)
    parts = _parts(card, stages)
    st.html(
        section(
            escape(card.title),
            "Stages as wide as their multiply-accumulates (MACs), and the heads that read them.",
        )
        + blueprint(parts, _input_shape(card), f"{len(card.classes)} classes")
    )
    fields = ("stage", "cost", "macs", "output", "head", "place", "head_size", "accuracy")
    save_chart(
        ".ee-blueprint",
        f"{card.title}: its stages and exits",
        "network",
        csv_text(fields, [[getattr(part, field) for part in parts] for field in fields]),
    )
    _costs(view.model, card, stages)
    elsewhere(view, card)
    known, again = st.columns([2.2, 1], gap="large")
    with known:
        _known(card)
    with again:
        _again(card)
    _accuracies(card)
    _points(card)


def _input_shape(card: Card) -> str:
    size = card.spec.image_size
    return f"image of {text.shape(card.spec.in_channels, size, size)}"


def _parts(card: Card, stages: tuple["StageOutline", ...]) -> list[Part]:
    split = "test" if "test" in card.per_exit_accuracy else "calibration"
    accuracies = card.per_exit_accuracy.get(split)
    return [
        Part(
            stage=f"Stage {index + 1}",
            blocks=_blocks(stages, index),
            cost=float(card.costs.stages[index]),
            macs=text.macs(card.stage_macs[index]),
            output=text.shape(*stage.shape),
            head=text.exit_name(index, card.num_exits),
            place=f"after block {_last_block(stages, index)} ({stage.blocks[-1]})",
            head_size=f"{text.macs(card.head_macs[index])} MACs, "
            f"{text.plural(card.head_parameters[index], 'parameter')}",
            accuracy=text.percent(accuracies[index], 2) if accuracies else text.MISSING,
            measured=f"right on {split}" if accuracies else "accuracy not measured",
        )
        for index, stage in enumerate(stages)
    ]


def _last_block(stages: tuple["StageOutline", ...], index: int) -> int:
    return sum(len(stage.blocks) for stage in stages[: index + 1])


def _blocks(stages: tuple["StageOutline", ...], index: int) -> str:
    """Return which blocks a stage has, counted from the input, with their names in the code."""
    names, last = stages[index].blocks, _last_block(stages, index)
    if len(names) == 1:
        return f"block {last} ({names[0]})"
    return f"blocks {last - len(names) + 1} to {last} ({names[0]} … {names[-1]})"


def _costs(name: str, card: Card, stages: tuple["StageOutline", ...]) -> None:
    st.html(
        section(
            "Part by part",
            "MACs are not time: a part with few MACs may wait for memory, and a small network "
            "spends most of its time between computations. So measure it.",
        )
    )
    times = _measured(name, card)
    threads = f" with {text.plural(times[0].threads, 'thread')}" if times else ""
    columns = [
        Column("Part"),
        Column("Output", "Channels × height × width of a stage's output."),
        Column("MACs", "Multiply-accumulates for one image."),
        Column("Of the plain network", "Those MACs in units of the plain network's."),
        Column("Parameters"),
        *(
            Column(
                f"Time, batch {size}",
                f"Median wall time per image, measured on this machine{threads}, at {size} "
                f"image{'s' if size > 1 else ''} at once; stages also in units of the plain "
                "network's time.",
            )
            for size in BATCHES
        ),
    ]
    st.html(table(columns, _rows(card, stages, times)))
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Measure again" if times else "Measure here",
            icon=":material/timer:",
            help="Runs every stage and head by itself on the machine that shows this page, one "
            "image at a time and 64 at once, in turns, and takes medians. A few seconds.",
        ):
            with sentences():
                _measure(name, card)
                st.rerun()
        if card.num_exits > 1:
            st.caption(
                "An image that goes through all stages and all heads costs "
                f"{text.percent(float(card.costs.at_exits()[-1]))} of the plain network."
            )


def _rows(
    card: Card, stages: tuple["StageOutline", ...], times: tuple["PartTimes", ...]
) -> list[Row]:
    rows = []
    missing = [text.MISSING] * len(BATCHES)
    for index, stage in enumerate(stages):
        stage_times = [
            f"{text.brief(one.stages[index])} ({text.percent(one.stage_shares[index], 0)})"
            for one in times
        ]
        of_stage = [
            f"Stage {index + 1}: {_blocks(stages, index)}",
            text.shape(*stage.shape),
            text.macs(card.stage_macs[index]),
            text.share(float(card.costs.stages[index])),
            f"{card.stage_parameters[index]:,}",
            *(stage_times or missing),
        ]
        of_head = [
            f"Head of {text.exit_name(index, card.num_exits).lower()}",
            f"{len(card.classes)} classes",
            text.macs(card.head_macs[index]),
            text.share(float(card.costs.heads[index])),
            f"{card.head_parameters[index]:,}",
            *([text.brief(one.heads[index]) for one in times] or missing),
        ]
        rows += [Row(of_stage), Row(of_head)]
    of_plain = [
        "Plain network: all stages, final head",
        "",
        text.macs(card.plain_macs),
        text.percent(1.0),
        f"{card.plain_parameters:,}",
        *([text.brief(one.plain) for one in times] or missing),
    ]
    return [*rows, Row(of_plain, TOTAL)]


def _measured(name: str, card: Card) -> tuple["PartTimes", ...]:
    kept = st.session_state.get(_TIMES, {})
    times: tuple[PartTimes, ...] = kept.get((name, card.sha256), ())
    return times


def _measure(name: str, card: Card) -> None:
    with st.spinner("Measuring every part, in turns …"):
        times = resources.part_times(name, BATCHES)
    st.session_state[_TIMES] = {(name, card.sha256): times}


def _known(card: Card) -> None:
    st.html(section("Facts"))
    training = card.training
    items = [
        ("Name", card.name),
        ("Method", _method(card.method)),
        ("Backbone", card.spec.backbone),
        ("Heads", _heads(card)),
        ("Data set", text.dataset(card.dataset)),
        ("Parameters", f"{card.all_parameters:,}"),
        ("Versions", ", ".join(f"{name} {number}" for name, number in card.versions.items())),
        ("SHA-256 of the weights", card.sha256),
    ]
    if training is not None:
        items[6:6] = [
            ("Trained for", _trained(training)),
            ("Weights of", f"epoch {training.best_epoch}, the best on calibration"),
            ("Hardware", training.hardware),
            ("Precision", "bfloat16" if training.bfloat16 else "float32"),
            ("Seed", str(training.recipe.get("seed", text.MISSING))),
        ]
    if card.plain is not None:
        right = text.percent(card.plain.test_accuracy, 2)
        items.insert(6, ("Plain counterpart", f"{card.plain.name}, {right} on test"))
    st.html(facts(items))


def _heads(card: Card) -> str:
    if card.num_exits == 1:
        return "the final classifier alone"
    spec = card.spec
    parts = [" · ".join(spec.heads or (spec.head,))]
    if spec.confidence:
        sees = {"features": "", "both": " that also sees the answer"}
        parts.append(
            "a learned confidence" + sees.get(spec.confidence_input, " that sees the answer")
        )
    if spec.sigmoid:
        parts.append("one sigmoid per class")
    return ", with ".join(parts)


def _trained(training: TrainingFacts) -> str:
    epochs = text.plural(training.epochs, "epoch")
    begun = f", after those of {training.start_from}" if training.start_from else ""
    return f"{epochs} in {text.patience(training.seconds)}{begun}"


def _again(card: Card) -> None:
    if card.training is None:
        return
    st.html(section("Reproduce it"))
    st.code(card.command, language="bash", wrap_lines=True)
    save_button(
        "Download card.json",
        json.dumps(card.model_dump(mode="json"), indent=2),
        "card.json",
        width="stretch",
        help="Everything on this page and the whole training recipe, as a file. "
        "`python -m core train card.json` trains by it.",
    )
    with st.popover("The training recipe", icon=":material/receipt_long:", width="stretch"):
        st.json(card.training.recipe, expanded=2)


def _accuracies(card: Card) -> None:
    st.html(section("Accuracy of each exit, if every image stopped there"))
    columns = [Column("Split"), *map(Column, text.exit_names(card.num_exits))]
    rows = [
        [split.capitalize(), *(text.percent(value, 2) for value in values)]
        for split, values in card.per_exit_accuracy.items()
    ]
    if card.plain is not None:
        columns.append(Column("Plain network"))
        for row, split in zip(rows, card.per_exit_accuracy, strict=True):
            row.append(text.percent(card.reference_accuracy(split), 2))
    st.html(table(columns, [Row(row) for row in rows]))


_POINT_COLUMNS = (
    Column("Operating point"),
    Column(
        "May", "Of accuracy on new images, with a confidence of 90 %; of compute on calibration."
    ),
    Column("Criterion", "The score that decides."),
    Column("Thresholds", "An image leaves at the first exit that scores higher."),
    Column("Calibration", "Accuracy at relative cost."),
    Column("Test", "Accuracy at relative cost."),
    Column("Leave, %", "Part of the test images, exit by exit."),
)


def _points(card: Card) -> None:
    if not card.operating_points:
        if card.num_exits == 1:
            reason = "It has no early exits: it is the yardstick that the others are measured by."
        else:
            reason = "For no thresholds could be proven how little accuracy they lose."
        st.html(section("Operating points") + box("None", reason, icon="○"))
        return
    st.html(
        section(
            "Operating points",
            "Thresholds that were chosen on calibration, and what they do there and on test.",
        )
    )
    st.html(table(_POINT_COLUMNS, [_point(point) for point in card.operating_points]))


def _point(point: OperatingPoint) -> Row:
    policy = Policy.from_dict(point.policy)
    thresholds = (
        text.score(threshold) if on else "off"
        for threshold, on in zip(policy.thresholds, policy.enabled, strict=True)
    )
    on_splits = (
        f"{text.percent(figures.accuracy, 2)} at {text.percent(figures.relative_cost)}"
        if figures
        else text.MISSING
        for figures in (point.calibration, point.test)
    )
    return Row(
        [
            point.name.capitalize(),
            allows(point),
            CRITERIA[policy.criterion].title,
            " · ".join(thresholds),
            *on_splits,
            " · ".join(f"{100 * share:.0f}" for share in point.test.exit_share)
            if point.test
            else text.MISSING,
        ]
    )


def _method(name: str) -> str:
    if name not in METHODS:
        return name
    method = METHODS[name]
    return f"{method.title} ({method.source})" if method.source else method.title
